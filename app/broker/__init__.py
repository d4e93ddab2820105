"""Redis: the working set. Keys, scripts and one class of verbs per actor.

``intake`` for producers, ``delivery`` for workers, ``journal`` for the mirror, ``recovery`` for the
rehydrator, ``survey`` for operators, ``gauges`` for people. Every verb is one Lua script; every
script checks the generation token first (rule 1).
"""
