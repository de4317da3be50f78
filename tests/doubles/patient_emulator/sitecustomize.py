"""Lets sense-emu wait longer for the next sample of its IMU, in a process that has this folder on its PYTHONPATH.

The library looks three times, 10 ms apart, for a sample that is newer than the last. The test that writes the samples
may not get a processor for that long.
"""

from sense_emu.RTIMU import RTIMU

RTIMU.IMUGetPollInterval = lambda _: 300
