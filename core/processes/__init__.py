"""Child processes: started here, asked, looked after, and found again after a restart.

- ``children``: a process for one row's work, forked from ``warm``, which has everything imported, or fresh
- ``living``: is the process that a row names still there?
- ``claimed``: the work of a row, and the child that does it: claim, report, settle
- ``tended``: a queue of such work, whose children one thread of the server starts and looks after
- ``lines``, ``line_server``: a child that is asked and answers in JSON lines; both ends of it
- ``quiet``: whether such a child hangs
- ``rounds``: what a loop that goes on for ever logs when a round fails; ``starting``: why a server could not
  start

What a child does, and in which row it says so, is the business of the package whose work it is. The SQL
sandbox starts its children in its own way, because of what must not be in their memory.
"""
