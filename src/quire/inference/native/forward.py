"""A transformer compiled for this machine's CPU: packed weights, a cache in blocks, threads that work in step."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Any, cast

import numba
import numpy as np
import numpy.typing as npt

from quire.inference import blocks as cache_blocks
from quire.inference.blocks import BLOCK
from quire.inference.native import attention, kernels
from quire.inference.native import instructions as op
from quire.inference.native import memory as mem
from quire.inference.native import program as k
from quire.inference.native import vectors as v
from quire.inference.native.compiling import Once, compiled, telling
from quire.inference.native.drawing import Drawing, compiled_draw
from quire.inference.native.pace import Paces
from quire.inference.native.packing import Panels, aligned, pack
from quire.model.transformer import Transformer

IDLE_SPINS = 200_000  # looks of a waiting thread, a few milliseconds, before it sleeps until it is called
MOST_THREADS = 1 << 12
# Places in the counters, which begin with the barrier's two. GO is the number of the step, times 2^12, and the number
# of its threads: both are seen at once, or a thread that is not in this step might come into the next one twice. DONE
# is what GO was when the last step was complete.
GO, STOP, DONE, ASLEEP = 16, 17, 18, 24


def _compile(sources: str) -> Any:
    """Return the loop of a thread. `sources` is in the key of numba's cache, which looks at this file alone."""

    def run(program: Any, layers: Any, counters: int, thread: int, turn: int) -> int:
        """Thread 0: take one step. Others: take each step that is called for; return when none is for a while."""
        if sources == "":
            return -1
        if thread == 0:
            kernels.forward(program, layers, 0)
            called = mem.atomic_load(counters + 8 * GO)
            mem.atomic_add(counters + 8 * DONE, called - mem.atomic_load(counters + 8 * DONE))
            return turn
        looks = 0
        while looks < IDLE_SPINS:
            now = mem.atomic_load(counters + 8 * GO)
            if now != turn:
                turn = now
                if mem.atomic_load(counters + 8 * STOP):
                    return turn
                if thread < turn % MOST_THREADS:
                    kernels.forward(program, layers, thread)
                    looks = 0
            looks += 1
            mem.pause()
        return turn

    signature = numba.int64(numba.int64[::1], numba.int64[:, ::1], numba.int64, numba.int64, numba.int64)
    options: Any = {"nogil": True, "error_model": "numpy", "boundscheck": False}
    return compiled(run, signature, **options)


_run = Once(_compile, cache_blocks, op, mem, v, k, attention, kernels)


def compiled_run(tell: Callable[[], None] | None = None) -> Any:
    """Return the compiled loop; compiled at the first call of all, read from numba's cache after that.

    Args:
        tell: called before it is compiled, which takes 10 to 20 seconds, and only then.
    """
    with telling(tell):
        compiled_draw()
        return _run()


class NativeModel:
    """A transformer for steps of the engine on a CPU.

    Args:
        model: its weights are copied, in the order the kernels read them.
        blocks: blocks of 32 positions that the cache has.
        tokens: the most tokens of one step.
        rows: the most rows of one step, of which each has a table of blocks.
        threads: that compute.
        half: whether the cache keeps numbers as float16.
    """

    def __init__(
        self, model: Transformer, *, blocks: int, tokens: int, rows: int, threads: int, half: bool = False
    ) -> None:
        self._workers: list[threading.Thread] = []
        self._run = compiled_run()
        self.drawing = Drawing(model.config.vocab_size)
        self.config = config = model.config
        self.threads, self.tokens, self.blocks = threads, tokens, blocks
        width, head, hidden = config.hidden_size, config.head_dim, config.intermediate_size
        value = -(-head // 16) * 16
        self._kept: list[Any] = []  # what addresses in the program point to
        self._matrices: list[Panels] = []
        self._layers = self._pack(model)
        qkv = (config.num_heads + 2 * config.num_kv_heads) * head
        number = 2 if half else 4  # bytes
        head_bytes = number * BLOCK * (head + value)
        layer_bytes = blocks * config.num_kv_heads * head_bytes
        longest = -(-config.context_length // BLOCK) * BLOCK
        scratch = max(2 * k.ROWS_AT_ONCE * 4 * value + k.ROWS_AT_ONCE * 4 * longest, 2 * 128 * k.TILE)
        scratch = -(-scratch // 64) * 64
        self.cache = aligned(config.num_layers * layer_bytes // 4)
        self._counters = aligned(ASLEEP + 8 * threads, np.int64)
        self._paces = Paces(threads)
        self._token_ids, self._positions, self._wanted = (aligned(tokens, np.int32) for _ in range(3))
        self._tables = aligned((rows, longest // BLOCK), np.int32)
        self._table_of = aligned(tokens, np.int64)
        self._logits = aligned((tokens, self._round(config.vocab_size)))
        packed_thread = 4 * -(-k.FEW * width // 16) * 16
        turned = model.cos.shape[1] // 2
        cosines, sines = (
            self._keep(np.array(table[:, :turned].detach().cpu().float().numpy(), order="C"))
            for table in (model.cos, model.sin)
        )
        constants = self._keep(np.array([config.norm_eps, head**-0.5], np.float32))
        numbers = {
            k.THREADS: threads,
            k.LAYERS: config.num_layers,
            k.WIDTH: width,
            k.STRIDE: 4 * self._round(width),
            k.HEADS: config.num_heads,
            k.KV_HEADS: config.num_kv_heads,
            k.HEAD_DIM: head,
            k.VALUE_DIM: value,
            k.QKV_STRIDE: 4 * self._round(qkv),
            k.HIDDEN: hidden,
            k.LOGIT_STRIDE: self._logits.strides[0],
            k.QK_NORM: int(config.qk_norm),
            k.FINAL_NORM: self._norm(model.model.norm),
            k.CONSTANTS: constants,
            k.COSINES: cosines,
            k.SINES: sines,
            k.CACHE: self.cache.ctypes.data,
            k.CACHE_SIZE: number,
            k.CACHE_LAYER: layer_bytes,
            k.CACHE_HEAD: head_bytes,
            k.SCRATCH: self._keep(aligned((threads, scratch // 4))),
            k.SCRATCH_THREAD: scratch,
            k.SCORES: 4 * longest,
            k.RESIDUAL: self._keep(aligned((tokens, self._round(width)))),
            k.PACKED: self._keep(aligned(max(tokens * width, threads * packed_thread // 4))),
            k.PACKED_THREAD: packed_thread,
            k.QKV: self._keep(aligned((tokens, self._round(qkv)))),
            k.GATHERED: self._keep(aligned(tokens * config.num_heads * head)),
            k.INNER: self._keep(aligned(tokens * hidden)),
            k.LOGITS: self._logits.ctypes.data,
            k.BARRIER: self._counters.ctypes.data,
            k.TOKEN_IDS: self._token_ids.ctypes.data,
            k.POSITIONS: self._positions.ctypes.data,
            k.TABLES: self._table_of.ctypes.data,
            k.WANTED_TOKENS: self._wanted.ctypes.data,
        }
        self._program = np.zeros(k.PROGRAM_SIZE, np.int64)
        for place, number in numbers.items():
            self._program[place] = number
        self._turn = 0
        # Not events: an exception of Ctrl-C within an event's lines leaves its lock taken; this queue has no lines.
        self._bells: list[SimpleQueue[None]] = [SimpleQueue() for _ in range(threads - 1)]
        self._workers = [
            threading.Thread(
                target=_work,  # and no method: a thread that holds the model would keep it for ever
                args=(self._run, self._program, self._layers, self._counters, self._bells[thread - 1], thread),
                name=f"quire-{thread}",
                daemon=True,
            )
            for thread in range(1, threads)
        ]
        for worker in self._workers:
            worker.start()

    @property
    def weight_bytes(self) -> int:
        """Return the bytes of weights that a step of one token reads: all matrices but an embedding of its own."""
        return sum(matrix.nbytes for matrix in self._matrices)

    def step(
        self,
        token_ids: Sequence[int],
        positions: Sequence[int],
        rows: Sequence[int],
        tables: Sequence[Sequence[int]],
        wanted: Sequence[int],
    ) -> npt.NDArray[np.float32]:
        """Read tokens into the cache and return the logits (wanted, V) after some of them, until the next step.

        Args:
            token_ids: the N tokens; of one row in the order of their positions.
            positions: place of each in its text; everything before it is in the cache, or among these tokens.
            rows: for each the number of its row.
            tables: for each row the blocks that hold its positions, 32 each.
            wanted: numbers of the tokens, in 0 to N - 1, after which logits are asked for.
        """
        self._complete()
        count, asked = len(token_ids), len(wanted)
        self._token_ids[:count] = token_ids
        self._positions[:count] = positions
        self._wanted[:asked] = wanted
        for row, table in enumerate(tables):
            self._tables[row, : len(table)] = table
        self._table_of[:count] = self._tables.ctypes.data + self._tables.strides[0] * np.asarray(rows)
        self._program[k.TOKENS], self._program[k.WANTED] = count, asked
        threads = self._paces.choose(count)
        self._program[k.THREADS] = threads
        began = time.perf_counter()
        try:
            if threads > 1:
                self._call(threads)
            self._run(self._program, self._layers, self._counters.ctypes.data, 0, 0)
        except BaseException:  # Ctrl-C
            self._complete()
            raise
        self._paces.took(count, threads, time.perf_counter() - began)
        return self._logits[:asked, : self.config.vocab_size]

    def close(self) -> None:
        """End the threads."""
        if self._workers:
            self._complete()
            self._counters[STOP] = 1
            self._call(1)
            for worker in self._workers:
                worker.join()
            self._workers = []

    def __del__(self) -> None:
        self.close()

    def _complete(self) -> None:
        """Take the step that others were called for and that was left: they stand at its first barrier."""
        if self._counters[DONE] != self._counters[GO]:
            self._ring()
            self._run(self._program, self._layers, self._counters.ctypes.data, 0, 0)

    def _call(self, threads: int) -> None:
        """Let the other threads, those of a number below `threads`, begin what the program says."""
        self._turn += 1
        self._counters[GO] = self._turn * MOST_THREADS + threads
        self._ring()

    def _ring(self) -> None:
        """Wake the threads that sleep."""
        for thread, bell in enumerate(self._bells, 1):
            if self._counters[ASLEEP + 8 * thread]:
                bell.put(None)

    def _pack(self, model: Transformer) -> npt.NDArray[np.int64]:
        layers = np.zeros((self.config.num_layers + 2, k.LAYER_SIZE), np.int64)
        for row, block in zip(layers, cast(Any, model.model.layers), strict=False):
            attention, mlp = block.self_attn, block.mlp
            for place, panels in (
                (k.QKV_MATRIX, pack(attention.q_proj, attention.k_proj, attention.v_proj)),
                (k.OUT_MATRIX, pack(attention.o_proj)),
                (k.GATE_UP_MATRIX, pack(mlp.gate_proj, mlp.up_proj, alternate=True)),
                (k.DOWN_MATRIX, pack(mlp.down_proj)),
            ):
                row[place : place + k.MATRIX] = self._described(panels)
            row[k.ATTENTION_NORM] = self._norm(block.input_layernorm)
            row[k.FEEDFORWARD_NORM] = self._norm(block.post_attention_layernorm)
            if self.config.qk_norm:
                row[k.QUERY_NORM], row[k.KEY_NORM] = self._norm(attention.q_norm), self._norm(attention.k_norm)
        head = pack(model.model.embed_tokens if self.config.tie_embeddings else model.lm_head)
        layers[-1, : k.MATRIX] = self._described(head)
        if self.config.tie_embeddings:
            layers[-2] = layers[-1]
        else:
            embedding = pack(model.model.embed_tokens)
            self._kept.append(embedding)
            layers[-2, : k.MATRIX] = embedding.described()
        return layers

    def _described(self, panels: Panels) -> list[int]:
        self._matrices.append(panels)
        return panels.described()

    def _norm(self, norm: Any) -> int:
        return self._keep(np.array(norm.weight.detach().cpu().float().numpy()))  # a copy, as all the weights are

    def _keep(self, array: npt.NDArray[Any]) -> int:
        self._kept.append(array)
        return array.ctypes.data

    @staticmethod
    def _round(size: int) -> int:
        return -(-size // v.PANEL) * v.PANEL


def _work(run: Any, program: Any, layers: Any, counters: Any, bell: SimpleQueue[None], thread: int) -> None:
    """The life of a thread: it looks for work for a while, then sleeps until it is called."""
    address, turn, asleep = counters.ctypes.data, 0, ASLEEP + 8 * thread
    while not counters[STOP]:
        turn = run(program, layers, address, thread, turn)
        counters[asleep] = 1
        if counters[GO] == turn and not counters[STOP]:
            bell.get()
        counters[asleep] = 0
