"""Static graph to calls of the browser's own WebNN.

fit.py     rewrites what this browser's WebNN does not take as it stands
limits.py  why it does not take a node; guards.py: what it takes and gets wrong
emit.py    the calls, as the plan (plan.py) that shims/webnn.js makes
divide.py  all of it, for a graph of which a part may have to run elsewhere
"""
