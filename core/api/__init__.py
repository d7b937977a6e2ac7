"""Both programming interfaces and the browser's own routes: they find out who calls, call one service, and answer.

``rest`` is ``/api`` (signed tokens), ``openai`` is ``/v1`` (API keys), ``browser`` is what pages' own scripts fetch (the session
cookie). ``edge`` holds what a router never has to think of: methods, CORS, unknown addresses, what nobody expected.
"""
