"""Clients' own files: enrolled at the gateway, kept in step with it, and restored.

An enrolled file uses the gateway; a restored one is as its user wrote it.  The modules, from the outside to the disk:

enrolment                     apply, undo, suspend, resume: the entry points of commands and the daemon's helper
sync, deadman, reroute        for a client's changes of its file; for a gateway that is away; for a gateway with a token
plan, enrol_edit              a file's plan; the edit of its entries, from one mode to another
additions                     entries that have no original, kept while their file is restored
apply, recover                carrying out plans and restoring; the search for lost originals
original_edit                 changes of an original
generate, install, offer      new entries: for the user to paste, for Claude Code, and of a server that was added
report                        the outcome for files, and their state
files, machine, naming        the files of this machine; its gateway and configuration; the names of servers
ledger, store                 the record of each file, in a SQLite database and its backup
transaction, recovery         changing one file while others write it; settling a change that was cut short
formats                       the forms in which clients write their servers
originals, enrolled_text      reading enrolled files as if they were not enrolled, for the configuration
import_servers                servers of clients' files as entries of the configuration
"""
