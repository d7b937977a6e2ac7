"""Child processes: started here, asked, looked after, and found again after a restart.

- ``children``: a process for one row's work, forked from ``warm``, which has everything imported, or fresh
- ``living``: is the process that a row names still there?
- ``tended``: a queue of work for children, looked after by one thread of the server
- ``lines``, ``line_server``: a child that is asked and answers in JSON lines; both ends of it

What a child does, and in which row it says so, is the business of the package whose work it is. The SQL
sandbox starts its children in its own way, because of what must not be in their memory.
"""
