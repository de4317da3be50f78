"""MQTT: the session with a broker, the command protocol, and the parsers of messages. Collectors do not need it.

- :mod:`broker` reads the broker's URL and secrets.
- :mod:`session` connects: ``Session`` resumes, reconnects, publishes, subscribes and acknowledges. Everything in the
  bundle that speaks MQTT uses it.
- :mod:`commands` validates commands and encodes their results; :mod:`command_ids` stores the ids of accepted commands.
- :mod:`parsers` turns messages of devices into metrics.
"""
