"""Prints when the points of a curve were logged: a JSON line with step and time (seconds since 1970) for each.

    times.py FILE TAG        FILE is an event file, as TensorBoard reads it
"""

import json
import sys

from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

file, tag = sys.argv[1:]
for event in EventFileLoader(file).Load():
    for value in event.summary.value:
        if value.tag == tag and value.HasField("tensor"):  # without one it only empties the curve
            print(json.dumps({"step": event.step, "time": event.wall_time}))
