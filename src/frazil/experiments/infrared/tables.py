"""Tables of infrared spectra, each declared once; numbers are written with six digits."""

from frazil.tables import Table, real, text, whole

SIX = "%.6g"
_PLACE = (*text("structure"), *real("temperature_K", low=0))

ROUNDS = Table(
    "rounds",
    (
        *whole("round", "n_train"),
        *real("harmonic_mae_cm1", "energy_rmse_meV_per_atom", "force_rmse_eV_per_A", blank=True),
    ),
    key=("round",),
    digits=SIX,
    made_by="learn_actively.py",
)
ACTIVE_LEARNING = Table(
    "active_learning",
    (
        *whole("round"),
        *_PLACE,
        *real("time_fs", low=0),
        *real("committee_std_meV_per_atom", blank=True),
        *whole("selected", low=0, high=1),
        *whole("replica"),
        *text("outcome"),
        *real("force_std_eV_per_A", blank=True),
        *text("fate", blank=True),
    ),
    order=(),
    digits=SIX,
    made_by="learn_actively.py",
)
CALIBRATION = Table(
    "calibration",
    (
        *whole("round"),
        *real(
            "force_std_eV_per_A", "force_error_eV_per_A", "energy_std_meV_per_atom",
            "energy_error_meV_per_atom",
        ),
    ),
    order=(),
    digits=SIX,
    made_by="learn_actively.py",
)  # fmt: skip
HARMONIC_ROUNDS = Table(
    "harmonic_rounds", whole("round"), key=("round",), digits=SIX, made_by="learn_actively.py"
)
HARMONIC = Table(
    "harmonic",
    (
        *text("structure"),
        *text("method", allowed=("model", "label")),
        *whole("mode"),
        *real("wavenumber_cm1", "intensity_km_per_mol"),
        *real("model_std_cm1", blank=True),
    ),
    key=("structure", "method", "mode"),
    order=(),
    digits=SIX,
)
SPECTRA = Table(
    "spectra",
    (
        *_PLACE,
        *real("wavenumber_cm1", "intensity"),
        *real("low_95", "high_95", blank=True),
        *whole("n_runs"),
        *real("model_std", "total_low_95", "total_high_95", blank=True),
        *whole("n_lost"),
    ),
    key=("structure", "temperature_K", "wavenumber_cm1"),
    digits=SIX,
)
RUNS = Table(
    "runs",
    (
        *text("structure", "engine"),
        *whole("member"),
        *real("temperature_K"),
        *whole("replica"),
        *text("outcome"),
        *real("ended_fs"),
        *real("mean_temperature_K", blank=True),
    ),
    key=("structure", "engine", "member", "temperature_K", "replica"),
    order=(),
    digits=SIX,
)
BANDS = Table(
    "bands",
    (
        *_PLACE,
        *real("label_cm1"),
        *real("model_cm1", "difference_cm1", blank=True),
        *real("label_height"),
        *real("model_height", blank=True),
    ),
    key=("structure", "temperature_K", "label_cm1"),
    order=(),
    digits=SIX,
)
COMPARISON = Table(
    "comparison",
    (
        *_PLACE,
        *real("cosine", "label_noise_floor", "model_noise_floor", blank=True),
        *whole("n_runs_model", "n_runs_label", "n_lost_model", "n_lost_label"),
    ),
    key=("structure", "temperature_K"),
    order=(),
    digits=SIX,
)
SUMS = Table(
    "sums",
    (
        *text("family"),
        *real("temperature_K", "wavelength_um", "wavenumber_cm1", "intensity"),
        *real("low_95", "high_95", blank=True),
        *whole("n_structures"),
    ),
    key=("family", "temperature_K", "wavenumber_cm1"),
    digits=SIX,
)
SILICATE_BANDS = Table(
    "silicate_bands",
    (
        *text("family"),
        *real("temperature_K", "peak_um"),
        *real("centre_um", blank=True),
        *real("peak_minus_9_7_um"),
        *whole("n_structures"),
    ),
    key=("family", "temperature_K"),
    digits=SIX,
)
TRANSFERABILITY = Table(
    "transferability",
    (
        *text("structure"),
        *whole("trained", low=0, high=1),
        *real("harmonic_mae_cm1", blank=True),
        *real("distance", "pca_1", "pca_2"),
    ),
    order=(),
    digits=SIX,
)
