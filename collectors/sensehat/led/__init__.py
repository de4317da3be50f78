"""The LED matrix of the Sense HAT, which the commands ``led_...`` of the agent (``collectors.mqtt``) draw on.

:mod:`rendering` makes frames of colours, pictures, bars and texts, with the letters of :mod:`font`. :mod:`screens`
shows a frame on the board or the desktop emulator. :mod:`show` scrolls texts in the background and overlays the status
of the pipeline, which :mod:`health` computes.
"""
