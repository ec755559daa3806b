"""Videos over HTTP: a queue of jobs that the command line's own verbs work off in processes of their own, and a page.

`engine` keeps the queue and the history, `worker` is the other side in a process for each device, and `app` is the
interface for machines and the page. The server itself never loads a model and never decodes what a client sends.
"""
