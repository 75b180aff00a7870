"""What Python users call; they import it from `restore`.

`loading.py`: load, list_weights. `files.py`: restore_file, restore_bytes. `pictures.py`: inspect, load_steps, run.
"""
