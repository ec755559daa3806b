"""The layers of transformers on spacetime patches. They take several clips of different sizes at once.

Features of a clip are h (B, F, H, W, D): one token for each patch. Linear maps see the tokens of all clips in one
sequence, and attention sees those of one clip.
"""

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from zoetrope.layers.dot_product import attention, attention_by_length, takes_lengths
from zoetrope.layers.elementwise import MappedGELU
from zoetrope.layers.lean import scaled_norm, turned_norm
from zoetrope.layers.linear import Linear, is_convolved

Over = Literal["space", "time", "both"]
EPSILON = 1e-6  # as in DiT


def mapped(linear: Callable[[Tensor], Tensor], clips: Sequence[Tensor]) -> list[Tensor]:
    """A map of features (..., D) of several clips, token by token, as one product where that is faster."""
    if len(clips) == 1 or is_convolved(clips[0]):  # convolutions are as fast for each, and need no copies
        return [linear(clip) for clip in clips]
    rows = torch.cat([clip.flatten(0, -2) for clip in clips])
    out = linear(rows[None, :, None, None]).flatten(0, -2)
    parts = out.split([clip.shape[:-1].numel() for clip in clips])
    return [part.view(*clip.shape[:-1], -1) for part, clip in zip(parts, clips, strict=True)]


def patches(video: Tensor, patch: tuple[int, int, int]) -> Tensor:
    """A video (B, C, F, H, W) in patches: (B, F / f, H / h, W / w, f h w C) for patch (f, h, w)."""
    frames, rows, columns = patch
    parts = video.unflatten(4, (-1, columns)).unflatten(3, (-1, rows)).unflatten(2, (-1, frames))
    return parts.permute(0, 2, 4, 6, 3, 5, 7, 1).flatten(4)


def video_of(h: Tensor, patch: tuple[int, int, int]) -> Tensor:
    """The inverse of `patches`."""
    parts = h.unflatten(-1, (*patch, -1)).permute(0, 7, 1, 4, 2, 5, 3, 6)
    return parts.flatten(6).flatten(4, 5).flatten(2, 3)


def glorot(linear: Linear) -> Linear:
    """The map itself, with the initial weights of DiT's code."""
    nn.init.xavier_uniform_(linear.weight)
    if linear.bias is not None:
        nn.init.zeros_(linear.bias)
    return linear


class ScaledNorm(nn.Module):
    """The norm of h over channels, times 1 + scale, plus shift; both concatenated in scale_shift (B, F or 1, 2 D)."""

    def forward(self, h: Tensor, scale_shift: Tensor) -> Tensor:
        scale, shift = scale_shift.to(h.dtype)[:, :, None, None].chunk(2, dim=-1)
        return scaled_norm(h, scale, shift, EPSILON)


class Past:
    """The keys and values that a layer had for earlier frames of a clip, (B, F, H, W, heads, d) each.

    `after` holds them together with those of the frames that were given last.
    """

    def __init__(self, before: tuple[Tensor, Tensor] | None = None):
        self.before = self.after = before

    def extended(self, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Those of all frames; calling it again replaces the last frames."""
        if self.before is not None:
            k, v = torch.cat([self.before[0], k], dim=1), torch.cat([self.before[1], v], dim=1)
        self.after = k, v
        return k, v


class TokenAttention(nn.Module):
    """Self-attention among the tokens of each frame ("space"), of each place ("time"), or of a clip ("both").

    Queries and keys are normalised over the channels of a head [Dehghani et al. 2023, arXiv:2302.05442, Sec. 2], and
    then turned by their rotary positions. If causal, a frame sees no later ones.
    """

    def __init__(self, width: int, heads: int, over: Over, causal: bool = False):
        super().__init__()
        self.heads, self.over, self.causal = heads, over, causal and over != "space"
        self.query = glorot(Linear(width, width))
        self.key_value = glorot(Linear(width, 2 * width))
        self.norm_query = nn.LayerNorm(width // heads, EPSILON, bias=False)
        self.norm_key = nn.LayerNorm(width // heads, EPSILON, bias=False)
        self.out = glorot(Linear(width, width))

    def forward(
        self,
        clips: Sequence[Tensor],
        phases: Sequence[Tensor],
        seen: Sequence[Tensor | None],
        past: Past | None = None,
    ) -> list[Tensor]:
        """Branches like the clips.

        Args:
            clips: of features (B, F, H, W, D).
            phases: of each clip's tokens, (B or 1, F or 1, H or 1, W or 1, 1, d / 2).
            seen: which frames (B, F, F) each frame may look at, True at least for itself; None: at all.
            past: earlier frames of a single clip, which is causal.
        """
        given = []
        for query, key_value, turns in zip(
            mapped(self.query, clips), mapped(self.key_value, clips), phases, strict=True
        ):
            q = query.unflatten(-1, (self.heads, -1))
            k, v = key_value.unflatten(-1, (2, self.heads, -1)).unbind(-3)
            q = turned_norm(q, self.norm_query.weight, turns, EPSILON).to(v.dtype)
            k = turned_norm(k, self.norm_key.weight, turns, EPSILON).to(v.dtype)
            if past is not None and self.over != "space":
                k, v = past.extended(k, v)
            given.append((q, k, v))
        if len(given) > 1 and takes_lengths(given[0][2]) and self.sees_all(seen):
            mixed = self.together(given)
        else:
            mixed = [self._attended(*each, frames) for each, frames in zip(given, seen, strict=True)]
        return mapped(self.out, [each.flatten(-2) for each in mixed])

    def sees_all(self, seen: Sequence[Tensor | None]) -> bool:
        """Whether every token sees all others of its frame, place or clip."""
        return not self.causal and (self.over == "space" or all(frames is None for frames in seen))

    def together(self, given: Sequence[tuple[Tensor, Tensor, Tensor]]) -> list[Tensor]:
        """What queries, keys and values (B, F, H, W, heads, d) of clips that see all make, as one sequence."""
        rows = [[self._rows(x) for x in each] for each in given]  # (N, L, heads, d) of each clip
        lengths = [q.shape[1] for q, _, _ in rows for _ in range(len(q))]
        q, k, v = (torch.cat([x.flatten(0, 1) for x in each]) for each in zip(*rows, strict=True))
        parts = attention_by_length(q, k, v, lengths).split([x.shape[:2].numel() for x, _, _ in rows])
        return [self._clip(part, each[0]) for part, each in zip(parts, given, strict=True)]

    def _rows(self, x: Tensor) -> Tensor:
        """(B, F, H, W, heads, d) in sequences of tokens that see each other: (N, L, heads, d)."""
        if self.over == "time":
            return x.flatten(2, 3).transpose(1, 2).flatten(0, 1)
        return x.flatten(2, 3).flatten(0, 1) if self.over == "space" else x.flatten(1, 3)

    def _clip(self, rows: Tensor, like: Tensor) -> Tensor:
        """The inverse of `_rows`, also of (N L, heads, d), for a clip `like` this one."""
        if self.over != "time":
            return rows.reshape(like.shape)
        b, f, height, width = like.shape[:4]
        return rows.reshape(b, height, width, f, *like.shape[4:]).movedim(3, 1)

    def _attended(self, q: Tensor, k: Tensor, v: Tensor, seen: Tensor | None) -> Tensor:
        """From queries (B, F, H, W, heads, d), and keys and values of as many or more frames, features like q."""
        if self.over == "time":
            return self._over_time(q, k, v, seen)
        if self.sees_all([seen]):
            return self._clip(_attended([self._rows(x) for x in (q, k, v)]), q)
        return torch.stack([self._of_frame(index, q, k, v, seen) for index in range(q.shape[1])], dim=1)

    def _of_frame(self, index: int, q: Tensor, k: Tensor, v: Tensor, seen: Tensor | None) -> Tensor:
        """What the tokens of one frame see of a clip, (B, H, W, heads, d): frame by frame no large mask is needed."""
        end = k.shape[1] - q.shape[1] + index + 1 if self.causal else k.shape[1]
        mask = None
        if seen is not None:
            mask = seen[:, index, :end].repeat_interleave(q.shape[2] * q.shape[3], dim=1)[:, None, None]
        rows = [x.flatten(1, 3) for x in (q[:, index : index + 1], k[:, :end], v[:, :end])]
        return _attended(rows, mask).view(q[:, index].shape)

    def _over_time(self, q: Tensor, k: Tensor, v: Tensor, seen: Tensor | None) -> Tensor:
        f, places = q.shape[1], q.shape[2] * q.shape[3]
        if k.shape[1] == 1:
            return v  # a softmax over a single key is 1
        mask = seen
        if self.causal and (seen is not None or k.shape[1] != f):
            earlier = torch.ones(f, k.shape[1], dtype=torch.bool, device=q.device).tril(k.shape[1] - f)
            mask = earlier[None] if seen is None else seen & earlier
        if mask is not None and len(mask) > 1:
            mask = mask.repeat_interleave(places, dim=0)
        rows = [self._rows(x) for x in (q, k, v)]
        mixed = _attended(rows, None if mask is None else mask[:, None], causal=self.causal and mask is None)
        return self._clip(mixed, q)


def _attended(q_k_v: Sequence[Tensor], mask: Tensor | None = None, causal: bool = False) -> Tensor:
    """Attention among the rows of (N, L, heads, d), with a mask that broadcasts to (N, heads, L, L')."""
    q, k, v = (x.transpose(1, 2) for x in q_k_v)
    return attention(q, k, v, mask, causal).transpose(1, 2).contiguous()


class TokenFeedForward(nn.Module):
    """Two linear maps of each token."""

    def __init__(self, width: int, expansion: int = 4):
        super().__init__()
        self.into = glorot(Linear(width, expansion * width))
        self.out = glorot(Linear(expansion * width, width))
        self.mapped_gelu = MappedGELU()

    def forward(self, clips: Sequence[Tensor]) -> list[Tensor]:
        """Branches like the clips (B, F, H, W, D)."""
        return mapped(lambda h: self.mapped_gelu(self.out, self.into(h)), clips)
