"""Elements that Streamlit does not have: each is a folder with its Python side, its JavaScript and its CSS.

The Python side says what goes in and comes out and makes every word; the browser only lays out and reports
clicks and keys. ``component`` registers one. An element asks no service and knows no user: what it shows is
decided by who draws it.
"""
