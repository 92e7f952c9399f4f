"""
An app for Django: C{manage.py runserver} runs the ASGI server of this project.

    INSTALLED_APPS = ["wasinet_twisted.contrib.django", ...]

It comes before C{django.contrib.staticfiles}, which has a C{runserver} of its own.
L{wasinet_twisted.contrib.django.testing} has a test case that starts the server in a process of its own, for Channels.
"""
