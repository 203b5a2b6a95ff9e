"""Lifeboat: one HTML file that holds an entire account, shows it in any browser, and checks itself there.

``form.py`` says what is inside, ``making.py`` writes it, ``reading.py`` reads it,
``checking.py`` is the check by this program, ``page/check.js`` the same check by
the file itself, ``taking.py`` makes a home a carrier of it. docs/lifeboat.md.
"""
