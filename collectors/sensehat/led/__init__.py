"""The LED matrix of the Sense HAT: 64 pixels, what is drawn on them, and where they are shown.

Drawing is pure: :mod:`rendering` makes frames of colours, pictures, bars and texts, with the letters of :mod:`font`.
:mod:`screens` puts a frame on the board, on the desktop emulator, or nowhere; :mod:`show` is what runs a text along
while other commands are carried out, and lays the status of the pipeline over it, which :mod:`health` judges.
"""
