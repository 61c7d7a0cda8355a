"""Texts for agents in files that they read: a block between marks, commands, a file for each server, and a plugin.

agents      the clients, their files for texts, and the forms of their commands
texts       the texts, for each kind of endpoint
wanted      the files that a client is to have, with their texts
written     writing them by way of the ledger, keeping them up to date, and removing them
block       the block in a file of the user's own
"""
