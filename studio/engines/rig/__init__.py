"""The rig: one photo becomes a head with 52 expression weights, on the CPU.

    asset.py      the parametric head that ships with the studio (assets/head.npz)
    build_asset.py how that file is made (a build step, never needed at run time)
    fit.py        landmarks -> pose, identity, expression and a free-form residual
    layers.py     the photo taken apart: person, background plate, depth card
    eyes.py       lids and irises, edited in the photo before it is warped
    mouth.py      lips that meet, teeth, tongue and throat
    portrait.py   a state of the face -> a picture
    kernels.py    the inner loops, compiled by numba

Convention inside the engine: head space is right-handed in decimetres (x to
the subject's left, y up, z towards the viewer, origin between the eyeballs);
camera space is pixels of the photo with y down and z towards the viewer.
"""
