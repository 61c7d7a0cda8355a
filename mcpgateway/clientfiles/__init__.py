"""Clients' own files: enrolled at the gateway, kept in step with it, and restored.

An enrolled file uses the gateway; a restored one is as its user wrote it.  The modules, from the outside to the disk:

enrolment                     apply, undo, suspend, resume: what commands and the daemon's helper call
sync, deadman, reroute        a client has changed its file; the gateway stays away; a token is needed
plan, apply, recover          a file's plan and its edit; plans carried out or taken back; originals looked for
generate, install             entries that are new: for the user to paste, and for Claude Code
report                        what was done, and how the files stand
files, machine, naming        which files there are, and what is known of this machine and of the servers in them
ledger, store                 the record of each file, in a SQLite database and its backup
transaction, recovery         one file changed while others write it; a change that was cut short
formats                       how each client writes its servers
originals, enrolled_text      enrolled files read as if they were not, for the configuration
import_servers                servers of clients' files as entries of the configuration
"""
