// SPDX-License-Identifier: GPL-2.0
/*
 * I2C bus 1 with the chips of a Sense HAT, second edition, for tests in a virtual machine.
 *
 * Each chip is a file of 256 registers with the datasheet's scales, data-ready flags and output data rates. It converts
 * only while its control registers have it switched on. Parameters in /sys/module/sensetig_lab_i2c/parameters control
 * it at run time:
 *
 *   absent   addresses that do not acknowledge, as with a loose contact; the chips keep their registers
 *   reset    write an address: that chip is back in its state after power-on
 *   hang_ms  each transfer takes this long and times out, as with a data line that is held low
 *   transfers  number of transfers so far
 *   eager    each transfer finds a new conversion, whatever the output data rate
 *   noise    noise of the sensors, in counts of their converters
 *   humidity, temperature, pressure, acceleration, rotation, magnetic, colour   what the sensors measure
 *
 * i2c-stub of the kernel will not do: RTIMULib uses read() and write(), and the stub knows SMBus calls alone.
 */
#include <linux/delay.h>
#include <linux/i2c.h>
#include <linux/ktime.h>
#include <linux/module.h>
#include <linux/random.h>

enum { HTS221, LPS25H, MAGNETOMETER, ACCELEROMETER, TCS3400, ATTINY, CHIPS };

struct chip {
	u16 address;
	bool st;		/* bit 7 of the register's number asks for auto-increment */
	u8 pointer;
	u64 converted_ns;	/* when the conversion that was read last was due */
	u64 held;		/* pairs of registers of which the low byte has been read and the high one has not */
	u8 reg[256];
};

static struct chip chips[CHIPS] = {
	[HTS221] = { .address = 0x5f, .st = true },
	[LPS25H] = { .address = 0x5c, .st = true },
	[MAGNETOMETER] = { .address = 0x1c, .st = true },
	[ACCELEROMETER] = { .address = 0x6a, .st = true },
	[TCS3400] = { .address = 0x39 },
	[ATTINY] = { .address = 0x46 },
};

static unsigned int absent[CHIPS];
static int absences;
module_param_array(absent, uint, &absences, 0644);
static unsigned int hang_ms;
module_param(hang_ms, uint, 0644);
static unsigned int transfers;
module_param(transfers, uint, 0444);
static bool eager;
module_param(eager, bool, 0644);
static unsigned int noise = 3;
module_param(noise, uint, 0644);
static int humidity = 45000;	/* thousandths of a percent */
module_param(humidity, int, 0644);
static int temperature = 25000;	/* thousandths of a degree Celsius, of both sensors */
module_param(temperature, int, 0644);
static int pressure = 101325;	/* pascals */
module_param(pressure, int, 0644);
static int acceleration[3] = { 0, 0, 1000 };	/* thousandths of g, in the chip's axes */
module_param_array(acceleration, int, NULL, 0644);
static int rotation[3];		/* thousandths of a degree per second */
module_param_array(rotation, int, NULL, 0644);
static int magnetic[3] = { 20000, 0, 42000 };	/* nanotesla */
module_param_array(magnetic, int, NULL, 0644);
static int colour[4] = { 520, 210, 190, 140 };	/* counts of clear, red, green and blue */
module_param_array(colour, int, NULL, 0644);

static void put16(struct chip *chip, u8 reg, int value)
{
	if (chip->held & BIT_ULL(reg / 2))
		return;
	value = clamp(value, -32768, 32767);
	chip->reg[reg] = value & 0xff;
	chip->reg[reg + 1] = (value >> 8) & 0xff;
}

static int with_noise(int value)
{
	return noise ? value + (int)get_random_u32_below(2 * noise + 1) - (int)noise : value;
}

static void power_on(struct chip *chip)
{
	memset(chip->reg, 0, sizeof(chip->reg));
	chip->held = 0;
	chip->converted_ns = ktime_get_ns();
	switch (chip - chips) {
	case HTS221:
		chip->reg[0x0f] = 0xbc;
		/* Calibration: 20 and 80 percent at 0 and 6000 counts, 10 and 40 degrees at 0 and 3000. */
		chip->reg[0x30] = 40;
		chip->reg[0x31] = 160;
		chip->reg[0x32] = 80;
		chip->reg[0x33] = 64;
		chip->reg[0x35] = 4;
		put16(chip, 0x3a, 6000);
		put16(chip, 0x3e, 3000);
		break;
	case LPS25H:
		chip->reg[0x0f] = 0xbd;
		break;
	case MAGNETOMETER:
		chip->reg[0x0f] = 0x3d;
		chip->reg[0x22] = 3;
		break;
	case ACCELEROMETER:
		chip->reg[0x0f] = 0x68;
		chip->reg[0x22] = 4;
		break;
	case TCS3400:
		chip->reg[0x92] = 0x90;
		chip->reg[0x81] = 0xff;
		break;
	case ATTINY:
		chip->reg[0xf0] = 's';
		chip->reg[0xf1] = 1;
		break;
	}
}

/* The time between two conversions in milliseconds; 0 while the chip is switched off. */
static unsigned int period_ms(const struct chip *chip)
{
	static const unsigned int hts221[] = { 0, 1000, 143, 80 };
	static const unsigned int lps25h[] = { 0, 1000, 143, 80, 40, 0, 0, 0 };
	static const unsigned int magnetometer[] = { 1600, 800, 400, 200, 100, 50, 25, 13 };
	static const unsigned int accelerometer[] = { 0, 67, 17, 8, 4, 2, 1, 0 };

	switch (chip - chips) {
	case HTS221:
		return chip->reg[0x20] & 0x80 ? hts221[chip->reg[0x20] & 3] : 0;
	case LPS25H:
		return chip->reg[0x20] & 0x80 ? lps25h[chip->reg[0x20] >> 4 & 7] : 0;
	case MAGNETOMETER:
		return chip->reg[0x22] & 3 ? 0 : magnetometer[chip->reg[0x20] >> 2 & 7];
	case ACCELEROMETER:
		return accelerometer[chip->reg[0x10] >> 5];
	case TCS3400:
		return (chip->reg[0x80] & 3) == 3 ? 3 * (256 - chip->reg[0x81]) : 0;
	}
	return 0;
}

/* Full scale, as the control registers have it: counts = value * counts_of / value_of. */
static void convert_vector(struct chip *chip, u8 reg, const int *values, s64 divisor)
{
	for (int axis = 0; axis < 3; axis++)
		put16(chip, reg + 2 * axis, with_noise(div_s64((s64)values[axis] * 1000, divisor)));
}

static void convert(struct chip *chip)
{
	/* Thousandths of the datasheets' sensitivities: micro-g, micro-degrees per second and nanotesla per 1000 counts. */
	static const int accelerations[] = { 61, 732, 122, 244 };
	static const int rotations[] = { 8750, 17500, 70000, 70000 };
	static const int fields[] = { 14000, 29000, 43000, 58000 };
	int counts;

	switch (chip - chips) {
	case HTS221:
		put16(chip, 0x28, with_noise((humidity - 20000) / 10));
		put16(chip, 0x2a, with_noise((temperature - 10000) / 10));
		chip->reg[0x27] = 3;
		break;
	case LPS25H:
		counts = with_noise(div_s64((s64)pressure * 4096, 100));
		chip->reg[0x28] = counts & 0xff;
		put16(chip, 0x29, (s16)(counts >> 8));
		put16(chip, 0x2b, with_noise(div_s64((s64)(temperature - 42500) * 480, 1000)));
		chip->reg[0x27] = 3;
		break;
	case MAGNETOMETER:
		convert_vector(chip, 0x28, magnetic, fields[chip->reg[0x21] >> 5 & 3]);
		chip->reg[0x27] = 0x0f;
		break;
	case ACCELEROMETER:
		convert_vector(chip, 0x18, rotation, rotations[chip->reg[0x10] >> 3 & 3]);
		convert_vector(chip, 0x28, acceleration, accelerations[chip->reg[0x20] >> 3 & 3]);
		chip->reg[0x17] = chip->reg[0x27] = 3;
		break;
	case TCS3400:
		for (int channel = 0; channel < 4; channel++) {
			counts = clamp(colour[channel], 0, 65535);
			chip->reg[0x94 + 2 * channel] = counts & 0xff;
			chip->reg[0x95 + 2 * channel] = counts >> 8;
		}
		chip->reg[0x93] = 1;
		break;
	}
}

/* Put the newest conversion, if there is one since the last, into the registers. */
static void refresh(struct chip *chip)
{
	u64 period = (u64)period_ms(chip) * NSEC_PER_MSEC;
	u64 now = ktime_get_ns();

	if (!period || (!eager && now - chip->converted_ns < period))
		return;
	chip->converted_ns = now;
	convert(chip);
}

/* With block data update, a pair of registers keeps its value from the reading of the low byte to that of the high one. */
static void hold(struct chip *chip, u8 reg)
{
	bool magnetometer = chip == &chips[MAGNETOMETER];

	if (!magnetometer && chip != &chips[ACCELEROMETER])
		return;
	chip->held &= ~BIT_ULL(reg / 2);
	if (!(reg & 1) && chip->reg[magnetometer ? 0x24 : 0x22] & 0x40)
		chip->held |= BIT_ULL(reg / 2);
}

/* Reading the data clears the flag that it is new. */
static void after_read(struct chip *chip, u8 reg)
{
	if ((reg >= 0x18 && reg <= 0x1d) || (reg >= 0x28 && reg <= 0x2d))
		hold(chip, reg);
	switch (chip - chips) {
	case HTS221:
		if (reg == 0x29)
			chip->reg[0x27] &= ~2;
		if (reg == 0x2b)
			chip->reg[0x27] &= ~1;
		break;
	case LPS25H:
		if (reg == 0x2a)
			chip->reg[0x27] &= ~2;
		if (reg == 0x2c)
			chip->reg[0x27] &= ~1;
		break;
	case MAGNETOMETER:
		if (reg == 0x2d)
			chip->reg[0x27] = 0;
		break;
	case ACCELEROMETER:
		if (reg == 0x1d)
			chip->reg[0x17] &= ~2, chip->reg[0x27] &= ~2;
		if (reg == 0x2d)
			chip->reg[0x17] &= ~1, chip->reg[0x27] &= ~1;
		break;
	}
}

static struct chip *find(u16 address)
{
	for (int i = 0; i < absences; i++)
		if (absent[i] == address)
			return NULL;
	for (int i = 0; i < CHIPS; i++)
		if (chips[i].address == address)
			return &chips[i];
	return NULL;
}

static void transfer(struct chip *chip, struct i2c_msg *msg)
{
	if (msg->flags & I2C_M_RD) {
		for (int i = 0; i < msg->len; i++) {
			u8 reg = chip->pointer++;

			msg->buf[i] = chip->reg[reg];
			after_read(chip, reg);
		}
		return;
	}
	for (int i = 0; i < msg->len; i++)
		if (!i)
			chip->pointer = chip->st ? msg->buf[0] & 0x7f : msg->buf[0];
		else
			chip->reg[chip->pointer++] = msg->buf[i];
}

static int xfer(struct i2c_adapter *adapter, struct i2c_msg *msgs, int num)
{
	transfers++;
	if (hang_ms) {
		msleep(hang_ms);
		return -ETIMEDOUT;
	}
	for (int i = 0; i < num; i++) {
		struct chip *chip = find(msgs[i].addr);

		if (!chip)
			return -EREMOTEIO;
		if (!i)
			refresh(chip);
		transfer(chip, &msgs[i]);
	}
	return num;
}

static u32 functionality(struct i2c_adapter *adapter)
{
	return I2C_FUNC_I2C | I2C_FUNC_SMBUS_EMUL;
}

static const struct i2c_algorithm algorithm = { .master_xfer = xfer, .functionality = functionality };

static struct i2c_adapter bus = { .owner = THIS_MODULE, .algo = &algorithm, .nr = 1, .name = "Sense HAT of the lab" };

static int reset_chip(const char *text, const struct kernel_param *param)
{
	unsigned int address;
	int failed = kstrtouint(text, 0, &address);

	if (failed)
		return failed;
	for (int i = 0; i < CHIPS; i++)
		if (chips[i].address == address) {
			i2c_lock_bus(&bus, I2C_LOCK_ROOT_ADAPTER);
			power_on(&chips[i]);
			i2c_unlock_bus(&bus, I2C_LOCK_ROOT_ADAPTER);
			return 0;
		}
	return -ENODEV;
}

static const struct kernel_param_ops reset_ops = { .set = reset_chip };
module_param_cb(reset, &reset_ops, NULL, 0200);

static int __init lab_init(void)
{
	for (int i = 0; i < CHIPS; i++)
		power_on(&chips[i]);
	return i2c_add_numbered_adapter(&bus);
}

static void __exit lab_exit(void)
{
	i2c_del_adapter(&bus);
}

module_init(lab_init);
module_exit(lab_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Chips of a Sense HAT on a simulated I2C bus");
