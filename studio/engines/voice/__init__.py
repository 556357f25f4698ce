"""Sound to phones, phones to a performance, and text to sound.

`speech.PocketsphinxSpeech` is the analyser the services use; `synthesis` gives
an optional offline voice. Everything here works in milliseconds of sound and
millimetres of lip gap; no module knows a picture.
"""
