"""Seeing faces: detection, landmarks, irises, person matte, pose, quality, identity.

`analyser.VisionAnalyser` is the engine; the other modules are its parts. This
package imports nothing heavy by itself.
"""
