"""Teachers whose every answer is known: Gaussian data, Gaussian mixtures, and guided pairs.

They stand where a network would, as ``denoise(noisy, t) -> clean`` callables, so that solvers,
samplers and distillation can be checked against closed forms. (EDM2's toy example, Karras et al.
2024, has the same purpose.)
"""

from abc import ABC, abstractmethod

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from quickstep.diffusion.schedule import Schedule, spread, state_dtype
from quickstep.diffusion.solver import ddim_weights, guided


class AnalyticTeacher(ABC):
    """A denoiser in closed form, with the exact flow that it defines."""

    schedule: Schedule

    @abstractmethod
    def posterior_mean(
        self,
        noisy: Float[Tensor, "b ..."],
        *,
        alpha: Float[Tensor, "b ..."],
        sigma: Float[Tensor, "b ..."],
    ) -> Float[Tensor, "b ..."]:
        """``E[clean | noisy]`` where ``noisy = alpha * clean + sigma * noise``.

        Args:
            noisy: the state.
            alpha: its clean coefficient, shaped to multiply `noisy`; any value in [0, 1].
            sigma: its noise coefficient.
        """

    def __call__(
        self, noisy: Float[Tensor, "b ..."], t: Int[Tensor, " b"]
    ) -> Float[Tensor, "b ..."]:
        """The perfect clean estimate at integer times, `CLEAN` among them (where it is `noisy`)."""
        dtype = state_dtype(noisy)
        return self.posterior_mean(
            noisy.to(dtype),
            alpha=spread(self.schedule.alpha(t), noisy, dtype=dtype),
            sigma=spread(self.schedule.sigma(t), noisy, dtype=dtype),
        )

    def solution(
        self,
        noisy: Float[Tensor, "b ..."],
        *,
        t_from: Int[Tensor, " b"],
        t_to: Int[Tensor, " b"],
        num_steps: int = 256,
    ) -> Float[Tensor, "b ..."]:
        """Where the probability-flow ODE leads `noisy`: Heun in kappa, at non-integer times.

        The steps are equal in the angle ``atan(sigma / alpha)``, in which the path is smooth from
        pure noise to clean data. The error falls as steps^-2; 256 steps err by about
        1e-4 of the data's size.

        Args:
            noisy: the state at `t_from`.
            t_from: where it is.
            t_to: where it goes.
            num_steps: Heun steps, two evaluations each.

        Returns:
            The state at `t_to`, computed in float64 and returned in the type of `noisy`.
        """
        state = noisy.double()
        start, stop = self._angle(t_from, state), self._angle(t_to, state)
        for i in range(num_steps):
            angle = start + (stop - start) * (i / num_steps)
            landing = start + (stop - start) * ((i + 1) / num_steps)
            state = self._heun(state, angle=angle, landing=landing)
        return state.to(noisy.dtype)

    def edge_clean(
        self,
        noisy: Float[Tensor, "b ..."],
        *,
        t: Int[Tensor, " b"],
        edge: Int[Tensor, " b"],
        num_steps: int = 256,
    ) -> Float[Tensor, "b ..."]:
        """What a perfectly distilled student answers: the clean prediction that lands on `edge`.

        It is the average of the denoiser over kappa along the trajectory from `t` to `edge`, and
        the denoiser itself where the two are one time. `num_steps` as in `solution`.
        """
        state = noisy.double()
        landed = self.solution(state, t_from=t, t_to=edge, num_steps=num_steps)
        ratio, weight = (
            spread(w, state, dtype=torch.float64)
            for w in ddim_weights(t, edge, schedule=self.schedule)
        )
        average = (landed - ratio * state) / weight
        return torch.where(weight == 0, self(state, t), average).to(noisy.dtype)

    def _angle(
        self, t: Int[Tensor, " b"], like: Float64[Tensor, "b ..."]
    ) -> Float64[Tensor, "..."]:
        angle = torch.atan2(self.schedule.sigma(t), self.schedule.alpha(t))
        return spread(angle, like, dtype=torch.float64)

    def _heun(
        self,
        state: Float64[Tensor, "b ..."],
        *,
        angle: Float64[Tensor, "b ..."],
        landing: Float64[Tensor, "b ..."],
    ) -> Float64[Tensor, "b ..."]:
        first = self.posterior_mean(state, alpha=angle.cos(), sigma=angle.sin())
        euler = _jump(first, state, angle=angle, landing=landing)
        second = self.posterior_mean(euler, alpha=landing.cos(), sigma=landing.sin())
        return _jump((first + second) / 2, state, angle=angle, landing=landing)


class Gaussian(AnalyticTeacher):
    """Data drawn from ``Normal(mean, variance)``, every element on its own.

    Args:
        mean: mean of the data; a number, or anything that broadcasts against a batch of it.
        variance: its variance, positive, likewise.
        schedule: the noise schedule.

    Raises:
        ValueError: `variance` is not positive.

    Example:
        >>> schedule = Schedule.scaled_linear().with_zero_terminal_snr()
        >>> teacher = Gaussian(3.0, 1.0, schedule=schedule)
        >>> teacher(torch.zeros(1, 1), torch.tensor([999])).item()     # pure noise says nothing
        3.0
    """

    def __init__(
        self,
        mean: float | Float[Tensor, "..."],
        variance: float | Float[Tensor, "..."],
        *,
        schedule: Schedule,
    ):
        self.mean = torch.as_tensor(mean, dtype=torch.float64)
        self.variance = torch.as_tensor(variance, dtype=torch.float64)
        self.schedule = schedule
        if bool((self.variance <= 0).any()):
            raise ValueError(
                f"Gaussian.variance must be positive: got {float(self.variance.min())}"
            )

    def draw(
        self, shape: tuple[int, ...], *, generator: torch.Generator
    ) -> Float64[Tensor, "b ..."]:
        """Draws data of the given shape."""
        noise = torch.randn(shape, generator=generator, dtype=torch.float64)
        return self.mean + self.variance.sqrt() * noise

    def posterior_mean(
        self,
        noisy: Float[Tensor, "b ..."],
        *,
        alpha: Float[Tensor, "b ..."],
        sigma: Float[Tensor, "b ..."],
    ) -> Float[Tensor, "b ..."]:
        """``mean + alpha v / (alpha^2 v + sigma^2) (noisy - alpha mean)``."""
        mean, variance = self.mean.to(noisy), self.variance.to(noisy)
        gain = alpha * variance / (alpha**2 * variance + sigma**2)
        return mean + gain * (noisy - alpha * mean)

    def solution(
        self,
        noisy: Float[Tensor, "b ..."],
        *,
        t_from: Int[Tensor, " b"],
        t_to: Int[Tensor, " b"],
        num_steps: int = 256,
    ) -> Float[Tensor, "b ..."]:
        """The closed form; `num_steps` is not needed.

        ``alpha_to mean + (noisy - alpha_from mean) * std_to / std_from`` with
        ``std = sqrt(alpha^2 v + sigma^2)``: the flow keeps every quantile.
        """
        del num_steps
        state, mean = noisy.double(), self.mean.to(noisy.device)
        std_from, std_to = self._std(t_from, state), self._std(t_to, state)
        alpha_from = spread(self.schedule.alpha(t_from), state, dtype=torch.float64)
        alpha_to = spread(self.schedule.alpha(t_to), state, dtype=torch.float64)
        landed = alpha_to * mean + (state - alpha_from * mean) * std_to / std_from
        return landed.to(noisy.dtype)

    def _std(self, t: Int[Tensor, " b"], like: Float64[Tensor, "b ..."]) -> Float64[Tensor, "..."]:
        alpha = spread(self.schedule.alpha(t), like, dtype=torch.float64)
        sigma = spread(self.schedule.sigma(t), like, dtype=torch.float64)
        return (alpha**2 * self.variance.to(like.device) + sigma**2).sqrt()


class GaussianMixture(AnalyticTeacher):
    """Data drawn from a mixture of Gaussians with diagonal covariances.

    Args:
        weights: probability of each component, positive, summing to 1.
        means: their means, ``(k,)`` for all elements alike or ``(k, *sample shape)``.
        variances: their variances, positive, shaped likewise.
        schedule: the noise schedule.

    Raises:
        ValueError: weights or variances are not positive, or the weights do not sum to 1.
    """

    def __init__(
        self,
        *,
        weights: Float[Tensor, " k"],
        means: Float[Tensor, "k ..."],
        variances: Float[Tensor, "k ..."],
        schedule: Schedule,
    ):
        self.weights, self.means, self.variances = (
            tensor.double() for tensor in (weights, means, variances)
        )
        self.schedule = schedule
        if bool((self.weights <= 0).any()) or abs(float(self.weights.sum()) - 1) > 1e-6:
            raise ValueError(
                f"GaussianMixture.weights must be positive and sum to 1: got {weights.tolist()}"
            )
        if bool((self.variances <= 0).any()):
            raise ValueError(
                f"GaussianMixture.variances must be positive: got {float(variances.min())}"
            )

    def draw(
        self, shape: tuple[int, ...], *, generator: torch.Generator
    ) -> Float64[Tensor, "b ..."]:
        """Draws data of the given shape, one component per sample."""
        chosen = torch.multinomial(self.weights, shape[0], replacement=True, generator=generator)
        noise = torch.randn(shape, generator=generator, dtype=torch.float64)
        means, variances = (_per_component(p, noise)[chosen] for p in (self.means, self.variances))
        return means + variances.sqrt() * noise

    def posterior_mean(
        self,
        noisy: Float[Tensor, "b ..."],
        *,
        alpha: Float[Tensor, "b ..."],
        sigma: Float[Tensor, "b ..."],
    ) -> Float[Tensor, "b ..."]:
        """The components' posterior means, weighed by each one's responsibility for `noisy`.

        The responsibility is that of the whole sample, not of single elements.
        """
        means, variances = (
            _per_component(p.to(noisy), noisy).unsqueeze(1) for p in (self.means, self.variances)
        )
        total = alpha**2 * variances + sigma**2
        offset = noisy - alpha * means
        log_likelihood = -0.5 * (offset**2 / total + total.log())
        log_joint = log_likelihood.flatten(2).sum(2) + self.weights.to(noisy).log()[:, None]
        responsibility = log_joint.softmax(0).reshape(*log_joint.shape, *[1] * (noisy.ndim - 1))
        return (responsibility * (means + alpha * variances / total * offset)).sum(0)


class Guided(AnalyticTeacher):
    """Classifier-free guidance of two analytic teachers: ``u + g (c - u)``.

    Two Gaussians of one variance give a Gaussian again, its mean ``mu_u + g (mu_c - mu_u)``.

    Args:
        conditional: the teacher with the condition.
        unconditional: the teacher without; it must have the same schedule.
        guidance: g.

    Raises:
        ValueError: the schedules are two.
    """

    def __init__(
        self, conditional: AnalyticTeacher, unconditional: AnalyticTeacher, *, guidance: float
    ):
        if conditional.schedule is not unconditional.schedule:
            raise ValueError("Guided.unconditional must share the conditional teacher's schedule")
        self.conditional, self.unconditional = conditional, unconditional
        self.guidance = guidance
        self.schedule = conditional.schedule

    def posterior_mean(
        self,
        noisy: Float[Tensor, "b ..."],
        *,
        alpha: Float[Tensor, "b ..."],
        sigma: Float[Tensor, "b ..."],
    ) -> Float[Tensor, "b ..."]:
        """The guided combination of the two clean estimates."""
        return guided(
            self.conditional.posterior_mean(noisy, alpha=alpha, sigma=sigma),
            self.unconditional.posterior_mean(noisy, alpha=alpha, sigma=sigma),
            self.guidance,
        )


def _per_component(
    parameter: Float[Tensor, "k ..."], like: Float[Tensor, "b ..."]
) -> Float[Tensor, "k ..."]:
    """A component's parameter with as many axes as a sample, so that it broadcasts against one."""
    missing = like.ndim - parameter.ndim
    return parameter.reshape(*parameter.shape, *[1] * missing)


def _jump(
    clean: Float64[Tensor, "b ..."],
    state: Float64[Tensor, "b ..."],
    *,
    angle: Float64[Tensor, "b ..."],
    landing: Float64[Tensor, "b ..."],
) -> Float64[Tensor, "b ..."]:
    """DDIM between two angles, ``alpha = cos`` and ``sigma = sin``."""
    ratio = torch.where(angle == landing, 1.0, landing.sin() / angle.sin())
    return ratio * state + (landing.cos() - angle.cos() * ratio) * clean
