"""The peer of the benchmark: the same training step in plain PyTorch, dense masked weights as in the release's recipe
(Gao et al. 2025): loss, gradients divided by their RMS, Adam, projection onto the largest magnitudes, decoupled decay.
Written the way that measured fastest with PyTorch 1.13 on a CPU; what was tried is listed in docs/PERFORMANCE.md.

Answers one line of JSON on stdout for each line of JSON on stdin:
  {"cmd": "init", "model": {...}, "training": {...}, "threads": 2, "seed": 0, "weights": path or null, "stable": false}
  {"cmd": "step", "ids": [B*T], "targets": [B*T]}     targets of -1 are not counted
  {"cmd": "params"}                                   nonzeros and norm of each parameter
  {"cmd": "peak"}                                     largest memory so far
"""
import ctypes
import json
import math
import os
import resource
import sys
import time

import torch
import torch.nn.functional as F

# Scores of this many bytes at a time stay in the cache; a whole batch of them would be memory traffic.
SCORE_BYTES = 4 << 20


class AbsTopK(torch.autograd.Function):
    """Keeps the k entries of largest magnitude along the last axis, zeroes the rest; the gradient likewise."""

    # Among equal magnitudes the lowest index wins, as in our engine. Slow: only for the check of equal results.
    stable = False

    @staticmethod
    def forward(ctx, x, k):
        if AbsTopK.stable:
            index = torch.sort(x.abs(), dim=-1, descending=True, stable=True)[1][..., :k]
        else:
            index = torch.topk(x.abs(), k, dim=-1, sorted=False)[1]
        mask = torch.zeros_like(x).scatter_(-1, index, 1.0)
        ctx.save_for_backward(mask)
        return x * mask

    @staticmethod
    def backward(ctx, g):
        return g * ctx.saved_tensors[0], None


def rms_norm(x, weight):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + torch.finfo(torch.float32).eps) * weight


class Peer:
    def __init__(self, model, training, seed, weights=None, stable=False):
        torch.manual_seed(seed)
        self.model, self.training = model, training
        AbsTopK.stable = stable
        D, F_, V, H, K = (model[n] for n in ("width", "neurons", "vocabSize", "heads", "headWidth"))
        self.H, self.K = H, K
        out_scale = 0.02 / math.sqrt(2 * model["layers"])
        # name, shape, initial scale, axis of protected neurons or channels, kind
        specs = [("bigram_table", (V, V), 0.02, None, "bigram"), ("transformer.wte.weight", (V, D), 0.02, None, "matrix")]
        for i in range(model["layers"]):
            b = f"transformer.h.{i}."
            specs += [
                (b + "ln_1.weight", (D,), None, None, "free"),
                (b + "attn.c_attn.weight", (3 * H * K, D), 0.02, 1, "matrix"),
                (b + "attn.c_attn.bias", (3 * H * K,), 0, None, "bias"),
                (b + "attn.c_proj.weight", (D, H * K), out_scale, 0, "matrix"),
                (b + "attn.c_proj.bias", (D,), 0, None, "bias"),
                (b + "attn.attn_imp.sink_logit", (H,), 0, None, "sink"),
                (b + "ln_2.weight", (D,), None, None, "free"),
                (b + "mlp.c_fc.weight", (F_, D), 0.02, 1, "matrix"),
                (b + "mlp.c_fc.bias", (F_,), 0, None, "bias"),
                (b + "mlp.c_proj.weight", (D, F_), out_scale, 0, "matrix"),
                (b + "mlp.c_proj.bias", (D,), 0, None, "bias"),
            ]
        specs += [("transformer.ln_f.weight", (D,), None, None, "free"), ("lm_head.weight", (V, D), 0.02, None, "matrix")]
        if not model["sink"]:
            specs = [s for s in specs if s[4] != "sink"]
        self.p, self.rules = {}, []
        for name, shape, scale, axis, kind in specs:
            if scale is None:
                value = torch.ones(shape)
            elif kind == "bigram":
                value = torch.rand(shape) * scale
            else:
                value = torch.randn(shape) * scale if scale else torch.zeros(shape)
            self.p[name] = value.requires_grad_()
            self.rules.append((self.p[name], axis, kind, torch.zeros(shape), torch.zeros(shape)))
        if weights is not None:
            self.load(weights)
        self.entries = sum(p.numel() for p in self.p.values())
        T = model["contextLength"]
        self.causal = torch.zeros(1, T, T + 1)
        self.causal[0, :, :T].masked_fill_(torch.ones(T, T, dtype=torch.bool).triu(1), -1e30)
        if not model["sink"]:
            self.causal[0, :, T] = -1e30
        fraction = model["activationFraction"]
        self.keep = {w: None if fraction is None else int(fraction * w) for w in (D, H * K, F_)}
        self.i = 0

    def cut(self, x, width):
        k = self.keep[width]
        return x if k is None or k >= width else AbsTopK.apply(x, k)

    def load(self, path):
        """A file of our side: float32 tensors back to back, in the order of the list beside it."""
        with open(path + ".json") as f:
            listed = json.load(f)
        with open(path, "rb") as f:
            for name, shape in listed:
                size = math.prod(shape)
                values = torch.frombuffer(bytearray(f.read(4 * size)), dtype=torch.float32)
                with torch.no_grad():
                    self.p[name].copy_(values.view(shape))

    def attention(self, q, k, v, sink):
        """A key slot more, whose score is the sink and whose value is 0, makes the sink part of the two products."""
        B, T, H, K = q.shape
        q = torch.cat([q * K**-0.5, q.new_ones(B, T, H, 1)], -1).transpose(1, 2)
        slot = torch.cat([sink.new_zeros(H, K), sink[:, None]], 1).view(1, H, 1, K + 1).expand(B, H, 1, K + 1)
        k = torch.cat([F.pad(k, (0, 1)).transpose(1, 2), slot], 2).transpose(2, 3)
        v = F.pad(v.transpose(1, 2), (0, 0, 0, 1))
        step = max(1, SCORE_BYTES // (4 * H * T * (T + 1)))
        parts = [
            (q[b : b + step] @ k[b : b + step]).add_(self.causal).softmax(-1) @ v[b : b + step]
            for b in range(0, B, step)
        ]
        return torch.cat(parts).transpose(1, 2).reshape(B, T, H * K)

    def loss(self, ids, targets):
        p = self.p
        B, T = ids.shape
        H, K, D = self.H, self.K, self.model["width"]
        x = F.embedding(ids, p["transformer.wte.weight"])
        for i in range(self.model["layers"]):
            b = f"transformer.h.{i}."
            a = self.cut(rms_norm(x, p[b + "ln_1.weight"]), D)
            qkv = F.linear(a, p[b + "attn.c_attn.weight"], p[b + "attn.c_attn.bias"]).view(B, T, 3, H * K)
            q, k, v = self.cut(qkv, H * K).view(B, T, 3, H, K).unbind(2)
            sink = p[b + "attn.attn_imp.sink_logit"] if self.model["sink"] else q.new_zeros(H)
            y = self.attention(q, k, v, sink)
            y = F.linear(y, p[b + "attn.c_proj.weight"], p[b + "attn.c_proj.bias"])
            x = x + self.cut(y, D)
            a = self.cut(rms_norm(x, p[b + "ln_2.weight"]), D)
            n = F.gelu(F.linear(a, p[b + "mlp.c_fc.weight"], p[b + "mlp.c_fc.bias"]))
            y = F.linear(self.cut(n, self.model["neurons"]), p[b + "mlp.c_proj.weight"], p[b + "mlp.c_proj.bias"])
            x = x + self.cut(y, D)
        x = rms_norm(x, p["transformer.ln_f.weight"]).view(B * T, D)
        # The release's lookup gives the last row no gradient.
        bigram = F.embedding(ids.view(-1), p["bigram_table"], padding_idx=-1)
        logits = torch.addmm(bigram, x, p["lm_head.weight"].t())
        return F.cross_entropy(logits, targets.view(-1), ignore_index=-1)

    @torch.no_grad()
    def project(self, p, axis):
        """Keeps floor(density * size) entries; the j largest of each neuron or channel first, within that budget."""
        k = int(self.training["density"] * p.numel())
        if k >= p.numel():
            return
        size = p.abs()
        if axis is not None:
            # Contiguous rows: topk along the first axis is slower.
            j = min(self.training["minPerNeuron"], p.shape[axis])
            rows = size if axis == 1 else size.t().contiguous()
            first = torch.topk(rows, j, dim=1, sorted=False)[1]
            size.scatter_(axis, first if axis == 1 else first.t(), math.inf)
            k = max(k, first.numel())
        # topk is faster for small matrices, kthvalue for large ones
        flat = size.view(-1)
        if flat.numel() < 1 << 19:
            cut = torch.topk(flat, k, sorted=False)[0].min()
        else:
            cut = torch.kthvalue(flat, flat.numel() - k + 1)[0]
        p.mul_(size >= cut)

    @torch.no_grad()
    def update(self):
        t = self.training
        grads = [p.grad for p in self.p.values()]
        rms = math.sqrt(sum(float(torch.dot(g.view(-1), g.view(-1))) for g in grads) / self.entries)
        scale = 1 / (rms + 1e-5)
        self.i += 1
        c1, c2 = 1 - t["beta1"] ** self.i, 1 - t["beta2"] ** self.i
        for p, axis, kind, m, v in self.rules:
            # The scale of the gradient goes into the factors of the moments instead of a pass of its own.
            g, p.grad = p.grad, None
            m.mul_(t["beta1"]).add_(g, alpha=(1 - t["beta1"]) * scale)
            v.mul_(t["beta2"]).addcmul_(g, g, value=(1 - t["beta2"]) * scale * scale)
            p.addcdiv_(m, torch.sqrt(v, out=g).div_(math.sqrt(c2)).add_(t["eps"]), value=-t["lr"] / c1)
            if kind == "matrix" or (kind == "bias" and t["sparseBiases"]):
                self.project(p, axis)
            if kind == "matrix":
                p.mul_(1 - t["weightDecay"] * t["lr"])

    def step(self, ids, targets):
        start, cpu = time.perf_counter(), time.process_time()
        loss = self.loss(ids, targets)
        loss.backward()
        self.update()
        loss = loss.item()
        ms, cpu_ms = (time.perf_counter() - start) * 1e3, (time.process_time() - cpu) * 1e3
        return {"ms": ms, "cpuMs": cpu_ms, "loss": loss}


def blas():
    """The library that BLAS calls go to, and whether it is a fast one."""
    with open("/proc/self/maps") as f:
        files = {os.path.realpath(line.split()[-1]) for line in f if "blas" in line or "mkl" in line}
    names = sorted(os.path.basename(f) for f in files)
    for f in files:
        if "openblas" in os.path.basename(f):
            library = ctypes.CDLL(f)
            library.openblas_get_config.restype = ctypes.c_char_p
            return {"blas": library.openblas_get_config().decode().strip(), "fast": True}
    fast = torch.backends.mkl.is_available()
    return {"blas": "MKL" if fast else ", ".join(names) or "unknown", "fast": fast}


def main():
    peer = None
    for line in sys.stdin:
        request = json.loads(line)
        command = request.pop("cmd")
        if command == "init":
            torch.set_num_threads(request.pop("threads"))
            peer = Peer(**request)
            torch.ones(8, 8) @ torch.ones(8, 8)
            answer = {"torch": torch.__version__, "threads": torch.get_num_threads(), **blas()}
        elif command == "step":
            shape = (-1, peer.model["contextLength"])
            answer = peer.step(*(torch.tensor(request[n]).view(shape) for n in ("ids", "targets")))
        elif command == "params":
            answer = {n: [int(p.count_nonzero()), float(p.detach().norm())] for n, p in peer.p.items()}
        elif command == "peak":
            answer = {"peakMb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}
        else:
            raise ValueError(f"unknown command {command}")
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
