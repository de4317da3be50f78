// SPDX-License-Identifier: GPL-2.0
/*
 * The frame buffer of a Sense HAT's LED matrix for tests in a virtual machine: 8 by 8 pixels of RGB565 and the gamma
 * table, under the name by which libraries look for it. Ioctls as in rpisense-fb.c of the Raspberry Pi's kernel.
 */
#include <linux/fb.h>
#include <linux/module.h>
#include <linux/platform_device.h>
#include <linux/uaccess.h>
#include <linux/vmalloc.h>

#define GET_GAMMA 61696
#define SET_GAMMA 61697
#define RESET_GAMMA 61698
#define FRAME_BYTES 128

static u8 gamma_table[32];
static u32 palette[16];
static struct fb_info *info;
static struct platform_device *device;

static int gamma_ioctl(struct fb_info *fb, unsigned int command, unsigned long argument)
{
	switch (command) {
	case GET_GAMMA:
		return copy_to_user((void __user *)argument, gamma_table, sizeof(gamma_table)) ? -EFAULT : 0;
	case SET_GAMMA:
		return copy_from_user(gamma_table, (void __user *)argument, sizeof(gamma_table)) ? -EFAULT : 0;
	case RESET_GAMMA:
		if (argument > 2)
			return -EINVAL;
		memset(gamma_table, argument, sizeof(gamma_table));
		return 0;
	}
	return -EINVAL;
}

static const struct fb_ops operations = {
	.owner = THIS_MODULE,
	.fb_read = fb_sys_read,
	.fb_write = fb_sys_write,
	.fb_fillrect = sys_fillrect,
	.fb_copyarea = sys_copyarea,
	.fb_imageblit = sys_imageblit,
	.fb_ioctl = gamma_ioctl,
};

static void release(void)
{
	if (info) {
		vfree(info->screen_buffer);
		framebuffer_release(info);
	}
	platform_device_unregister(device);
}

static int __init lab_init(void)
{
	int failed = -ENOMEM;

	device = platform_device_register_simple("rpi-sense-fb", -1, NULL, 0);
	if (IS_ERR(device))
		return PTR_ERR(device);
	info = framebuffer_alloc(0, &device->dev);
	if (!info)
		goto out;
	info->screen_buffer = vzalloc(PAGE_SIZE);
	if (!info->screen_buffer)
		goto out;
	info->screen_size = info->fix.smem_len = FRAME_BYTES;
	info->fbops = &operations;
	info->pseudo_palette = palette;
	info->flags = FBINFO_VIRTFB;
	strscpy(info->fix.id, "RPi-Sense FB", sizeof(info->fix.id));
	info->fix.type = FB_TYPE_PACKED_PIXELS;
	info->fix.visual = FB_VISUAL_TRUECOLOR;
	info->fix.line_length = 16;
	info->var.xres = info->var.yres = info->var.xres_virtual = info->var.yres_virtual = 8;
	info->var.bits_per_pixel = 16;
	info->var.red.offset = 11;
	info->var.red.length = 5;
	info->var.green.offset = 5;
	info->var.green.length = 6;
	info->var.blue.length = 5;
	failed = register_framebuffer(info);
	if (!failed)
		return 0;
out:
	release();
	return failed;
}

static void __exit lab_exit(void)
{
	unregister_framebuffer(info);
	release();
}

module_init(lab_init);
module_exit(lab_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Frame buffer of a Sense HAT's LED matrix");
