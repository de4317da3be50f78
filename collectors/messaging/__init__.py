"""MQTT: the session at a broker, the scheme of commands, and the parsers of messages. Collector authors do not need it.

- :mod:`broker` reads the broker's URL and secrets.
- :mod:`session` connects: ``Session`` resumes, reconnects, publishes, subscribes and acknowledges. Everything in the
  bundle that speaks MQTT uses it.
- :mod:`commands` validates commands and encodes their answers; :mod:`command_ids` stores the ids of accepted commands.
- :mod:`parsers` turns messages of devices into metrics.
"""
