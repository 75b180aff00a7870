"""What Python users call: functions for files, bytes and pictures."""
