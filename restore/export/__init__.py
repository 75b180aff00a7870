"""Weights as ONNX files, for programs without torch.

A file holds one network in its plain form, and all that a program needs to run it by tiles.

- Input `input`: float32, `(1, channels, H, W)`, RGB or grey, nominally 0 to 1, the values of the picture's file (for
  photographs sRGB with its transfer curve).
- Output `output`: float32, `(1, channels, scale * H, scale * W)`, not clamped.
- `metadata_props`, all text. `restore` is the format, `restore-onnx/1`. `facts` is JSON; `contract.Facts` lists its
  keys. The second backend needs only this module and NumPy to read them.

Sizes: with `tile` null, H and W are any multiples of `size_multiple` from `min_size` on. Otherwise H and W are both
`tile`; a smaller picture is padded at the bottom and right (by reflection, then replication, as in
`restore.inference.padding`), and the result is cropped.

Tiles: starts are multiples of `tile_grid`. `halo` pixels at a cut lack their surroundings and get no weight. With
`halo` null the network sees the whole tile, and neighbours fade into each other (`restore.inference.tiling`).
"""
