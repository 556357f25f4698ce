"""Long work that outlives a browser tab: a queue in the store, and a worker process.

    kinds.py       what a job is to the code that does it: parameters, run(), the narrow door
    queue.py       what a person may do with jobs: submit, cancel, resume, retry, reorder, forget
    executor.py    one claimed job from its start to its honest end, in this process
    worker.py      the worker process: claims jobs one after another
    supervisor.py  starts the worker, and notices when it dies

Nothing here knows services: the composition root hands the kinds over.
"""
