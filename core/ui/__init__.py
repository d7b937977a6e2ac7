"""The pages' own tools: navigation and the sign-in gate (``main``),
who is signed in (``session``), what is drawn twice (``show``).

Pages import streamlit, this package and services; no rule of the domain lives here.
"""
