/** Parameters that are each allowed but cannot go together: found before any task starts. */
class Contradictions {

    static List<String> of(Map settings) {
        Map p = settings.photodesorption
        Map t = settings.thermalization
        Map d = settings.deepmd
        Map w = settings.labels
        List<String> problems = []
        def refuse = { boolean wrong, String problem -> if (wrong) { problems << problem } }

        refuse(t.n_snapshots < p.n_trajectories,
            "--photodesorption.n_trajectories: given ${p.n_trajectories}, each needs a snapshot of its own; allowed: up to --thermalization.n_snapshots, now ${t.n_snapshots}")
        refuse(t.temperature_low_K >= t.temperature_high_K,
            "--thermalization.temperature_low_K: given ${t.temperature_low_K} K; allowed: below --thermalization.temperature_high_K, now ${t.temperature_high_K} K")
        refuse(!(t.temperature_low_K <= t.temperature_K && t.temperature_K <= t.temperature_high_K),
            "--thermalization.temperature_K: given ${t.temperature_K} K; allowed: inside the window of the snapshots, ${t.temperature_low_K} to ${t.temperature_high_K} K")
        refuse(!(p.criterion_A in p.criteria_A),
            "--photodesorption.criterion_A: given ${p.criterion_A} Å; allowed: one of --photodesorption.criteria_A, now ${p.criteria_A.join(', ')} Å")
        refuse(!isMultiple(p.observe_fs, p.timestep_fs),
            "--photodesorption.observe_fs: given ${p.observe_fs} fs; allowed: a whole number of time steps of ${p.timestep_fs} fs")
        refuse(!isMultiple(p.duration_fs, p.observe_fs),
            "--photodesorption.duration_fs: given ${p.duration_fs} fs; allowed: a whole number of --photodesorption.observe_fs, now ${p.observe_fs} fs")
        refuse(!isMultiple(p.observe_fs, settings.exploration.timestep_fs),
            "--exploration.timestep_fs: given ${settings.exploration.timestep_fs} fs; allowed: a whole part of --photodesorption.observe_fs, now ${p.observe_fs} fs")
        refuse(w.train_fraction + w.validation_fraction >= 1,
            "--labels.train_fraction: given ${w.train_fraction}, with ${w.validation_fraction} for validation; allowed: a sum below 1, the rest is the test set")
        refuse('photodesorption' in settings.experiments && w.level != 'van-hemert' && p.n_truth > 0,
            "--photodesorption.n_truth: given ${p.n_truth}, trajectories of the analytic teacher; allowed: 0 with --labels.level ${w.level}, which has none")
        refuse(w.window_starts_fs.size() != w.window_intervals_fs.size(),
            "--labels.window_intervals_fs: given ${w.window_intervals_fs.size()} numbers; allowed: as many as --labels.window_starts_fs, now ${w.window_starts_fs.size()}")
        refuse(d.learning_rate_stop > d.learning_rate_start,
            "--deepmd.learning_rate_stop: given ${d.learning_rate_stop}; allowed: at most --deepmd.learning_rate_start, now ${d.learning_rate_start}")
        refuse(d.sel.size() != 4, "--deepmd.sel: given ${d.sel.size()} numbers; allowed: four, for C, O, X1, X2")
        refuse(settings.frames.contact_low_A >= settings.frames.contact_high_A,
            "--frames.contact_low_A: given ${settings.frames.contact_low_A} Å; allowed: below --frames.contact_high_A, now ${settings.frames.contact_high_A} Å")
        Map k = settings.sticking
        boolean sticking = 'sticking' in settings.experiments
        refuse(sticking && k.model_error && (k.potential != 'gmnn' || k.n_members < 2),
            "--sticking.model_error: given true with ${k.potential == 'gmnn' ? "a committee of ${k.n_members}" : 'the analytic potential'}; allowed: with --sticking.potential gmnn and at least 2 --sticking.n_members")
        refuse(sticking && k.potential == 'gmnn' && k.truth && k.label_level != 'h2-co-analytic',
            "--sticking.truth: given true with labels of ${k.label_level}; allowed: with --sticking.label_level h2-co-analytic, whose truth is known")
        refuse(sticking && !k.surface_temperatures_K.any { it == k.attempts_temperature_K },
            "--sticking.attempts_temperature_K: given ${k.attempts_temperature_K} K; allowed: one of --sticking.surface_temperatures_K, now ${k.surface_temperatures_K.join(', ')} K")
        refuse(sticking && k.energies_K != k.energies_K.toSorted().toUnique(),
            "--sticking.energies_K: given ${k.energies_K.join(', ')}; allowed: each once, in ascending order")
        ['crystalline', 'amorphous'].each { phase ->
            refuse(sticking && (phase == 'amorphous' || !k.radius_A) && !k.shell_A && k["n_${phase}_fixed"] >= k["n_${phase}"],
                "--sticking.n_${phase}_fixed: given ${k["n_${phase}_fixed"]} of ${k["n_${phase}"]} molecules; allowed: fewer, so that some are mobile")
        }
        return problems
    }

    private static boolean isMultiple(Number whole, Number part) {
        return (whole as BigDecimal).remainder(part as BigDecimal) == 0
    }
}
