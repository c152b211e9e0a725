"""Recorded conversations played live: what `bench/conversations.py` is made of.

recorded   rows of a recording as conversations, runs and calls
rule       the loop guard's rule, written down a second time
script     what a conversation must come to, and the message lists that the model server insists on
alone      the script of one agent with all tools
split      the script of a coordinator with a specialist for reads and one for writes
world      the tools: they return what was recorded, and nothing else
play       the conversations live, over HTTP and on a journal file
result     what became of a conversation that was played
check      the journal against the script
report     tables and JSON
"""
