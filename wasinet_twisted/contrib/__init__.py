"""
What joins the server to other people's frameworks. Each part needs its framework, and nothing else imports it.
"""
