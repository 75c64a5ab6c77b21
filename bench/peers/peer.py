"""Another program beside nibble: a process that runs one of its models when it is asked to, and its models."""

import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))


class Peer:
    """A process that answers each line with seconds of prefill and decode."""

    def __init__(self, script, model, threads, prompt, decode):
        self.model, self.threads, self.prompt, self.decode = model, threads, prompt, decode
        self.process = subprocess.Popen([sys.executable, os.path.join(HERE, script)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)

    def run(self):
        self.process.stdin.write(f"{self.model} {self.threads} {self.prompt} {self.decode}\n")
        self.process.stdin.flush()
        prefill, decode = map(float, self.process.stdout.readline().split())
        return self.prompt / prefill, self.decode / decode

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def llamacpp_model(folder, shape, kind):
    base, path = os.path.join(folder, f"{shape}.f16.gguf"), os.path.join(folder, f"{shape}.{kind}.gguf")
    if not os.path.exists(base):
        sys.path.insert(0, HERE)
        import gguf_models
        gguf_models.write_gguf(shape, base)
    if not os.path.exists(path):
        subprocess.run([sys.executable, os.path.join(HERE, "llamacpp.py"), "quantize", base, path, kind], check=True,
                       stderr=subprocess.DEVNULL)
    return path
