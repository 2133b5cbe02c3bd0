// Sticking on ice (of H2 on CO, or any molecules): potential → surfaces → binding sites and collisions → statistics.

include { LABEL } from './labels'
include { IMPORT_FRAMES } from '../modules/frames'
include { PREPARE_DATASET } from '../modules/dataset'
include { LEARN } from './learn'
include { PROPOSE } from '../modules/learn'
include { TRAIN_GMNN; VALIDATE_COMMITTEE } from '../modules/gmnn'
include { UNTIL_ENOUGH } from './until_enough'
include { SAMPLE_CLUSTERS; BIND_SITES; ANALYSE_STICKING } from '../modules/sticking'
include { TAKE_MOLECULES_OUT; PREPARE_SURFACE } from '../modules/surface'
include { RUN_COLLISIONS } from '../modules/collisions'

// The shards of n trajectories of each phase, e.g. [[id: 'model', phase: 'crystalline', first_id: 0, n: 36, campaign: […]], …]
def shards_of(List phases, String id, Map campaign, int n, int size) {
    phases.collectMany { phase ->
        Settings.shards(n, size).collect { it + [id: id, phase: phase, keep_paths: id == 'attempts' ? n : 0, campaign: campaign] }
    }
}

workflow STICKING {
    take:
    settings
    checkpoints

    main:
    def s = settings.sticking
    def named = Given.potential(s)
    def truth = Given.truth(s)
    def published = 'photodesorption' in settings.experiments ? 'sticking_potential' : 'potential'
    imported = Channel.empty()
    def ready = s.model ? file(s.model, glob: false) : []
    if (s.potential == 'gmnn' && ready && !s.cutout_rounds) {
        model = Channel.value(ready)
        curves = Channel.value(ready.resolve('molecular_curves.csv').exists() ? ready.resolve('molecular_curves.csv') : [])
        VALIDATE_COMMITTEE(
            model, curves, ready, ready.resolve('scans.extxyz'), published, settings.code['validate_committee.py'],
        )
        validated = VALIDATE_COMMITTEE.out
    }
    else if (s.potential == 'gmnn') {
        // With frames or scans of your own none are made here; what is left is molecules alone.
        SAMPLE_CLUSTERS(
            Given.surfaceFiles(s),
            settings.steps['sample-clusters'] + Given.surfaceNames(s).subMap('molecules', 'projectile') +
                (s.dataset ? [training_scale: 0, n_placed: 0] : [:]) + (s.scans ? [n_scans: 0] : [:]),
            settings.code['sample_clusters.py'],
        )
        // Molecules alone, too, are the data set's, or are not needed.
        def own = s.interaction_only ? s.molecules_of == 'dataset' : s.molecules != ['CO'] || s.projectile != 'H2'
        clusters = s.dataset ? Channel.empty() : SAMPLE_CLUSTERS.out.clusters
        LABEL(
            clusters.map { ['clusters', it] }
                .mix(SAMPLE_CLUSTERS.out.molecules.filter { !own }.map { ['molecules', it] })
                .mix(SAMPLE_CLUSTERS.out.scans.filter { !s.scans }.map { ['scans', it] })
                .map { id, frames -> [[id: id, level: s.label_level, coupling_eV: 0, hessian: false, polarizability: false], frames] },
            settings, checkpoints,
        )
        labelled = LABEL.out.labelled.branch { meta, frames ->
            clusters:  meta.id == 'clusters'
                       return frames
            molecules: meta.id == 'molecules'
                       return frames
            scans:     meta.id == 'scans'
                       return frames
        }
        trained_on = labelled.clusters
        if (s.dataset) {
            (dataset, files, called) = Given.dataset(settings, s.dataset)
            IMPORT_FRAMES(
                dataset, files, Given.ownLevel(settings), settings.steps['import-frames'] + called + Given.windows(settings.labels) + [level: s.label_level, coupling_eV: 0],
                !(own && s.scans), 'imports-sticking', settings.code['import_frames.py'],
            )
            trained_on = IMPORT_FRAMES.out.labelled
            imported = IMPORT_FRAMES.out.section
        }
        before = Channel.value([])
        if (s.cutout_rounds) {
            LEARN(
                [id: 'cutouts-round-', rounds: s.cutout_rounds, first: 1, step: 'cut-surroundings', takes: [], committee: 'gmnn',
                 model: ready, further_epochs: s.cutout_epochs,
                 molecules: s.interaction_only ? (own ? [] : labelled.molecules.first()) : null,
                 asked: [level: s.label_level, coupling_eV: 0, hessian: false, polarizability: false]],
                trained_on, Channel.value([:]), settings, checkpoints,
            )
            trained_on = LEARN.out.state.map { it.frames }
            before = LEARN.out.state.map { s.cutout_epochs ? it.model : [] }
        }
        if (s.interaction_only) {
            TAKE_MOLECULES_OUT(
                trained_on, own ? [] : labelled.molecules, settings.steps['take-molecules-out'], settings.code['take_molecules_out.py'],
            )
            frames = TAKE_MOLECULES_OUT.out.frames
            curves = TAKE_MOLECULES_OUT.out.curves.collect().map { it[0] } // of a set that has molecules and scans a value, of others not
        }
        else {
            frames = trained_on
            curves = Channel.value([])
        }
        PREPARE_DATASET(
            frames.map { ['clusters', it] },
            settings.steps['prepare-dataset'], 'any', settings.code['prepare_dataset.py'],
        )
        TRAIN_GMNN(
            PREPARE_DATASET.out.combine(before.map { [it] }), settings.steps['train-gmnn'], s.cutout_epochs, checkpoints,
            settings.code['train_gmnn.py'],
        )
        model = TRAIN_GMNN.out.map { id, folder -> folder }.first()
        VALIDATE_COMMITTEE(
            model, curves, PREPARE_DATASET.out.map { id, dataset -> dataset },
            s.scans ? file(s.scans, glob: false) : labelled.scans,
            published, settings.code['validate_committee.py'],
        )
        validated = VALIDATE_COMMITTEE.out
    }
    else {
        model = Channel.value([])
        curves = Channel.value([])
        validated = Channel.empty()
    }
    // [gmnn/ or [], molecular_curves.csv or []]: what drives everything
    driver = model.map { [it] }.combine(curves.map { [it] })
    PREPARE_SURFACE(
        Channel.fromList(s.phases).combine(driver),
        Given.surfaceFiles(s), settings.steps['prepare-surface'] + named + Given.surfaceNames(s), settings.code['prepare_surface.py'],
    )
    surfaces = PREPARE_SURFACE.out.combine(driver) // [phase, surface/, gmnn/ or [], molecular_curves.csv or []]
    BIND_SITES(
        surfaces,
        settings.steps['bind-sites'] + named, s.potential == 'gmnn' && s.truth ? s.label_level : '', settings.code['bind_sites.py'],
    )
    def campaign = settings.steps['run-collisions'] + named
    def per_phase = s.n_polar * s.n_azimuth * s.energies_K.size() * s.surface_temperatures_K.size()
    // Along the normal, at the lowest energy, never ended by distance: the attempts to leave.
    def attempts = campaign + [surface_temperatures_K: [s.attempts_temperature_K], energies_K: [s.energies_K.min()],
        polar_max_deg: 0, n_polar: 1, n_azimuth: s.n_attempts, bounce_A: 1000, duration_fs: s.attempts_duration_fs,
        model_error: false]
    def truths = s.potential == 'gmnn' && s.truth ? shards_of(s.phases, 'truth', campaign + truth + [model_error: false], per_phase, s.shard_size) : []
    def metas = shards_of(s.phases, 'attempts', attempts, s.n_attempts, s.n_attempts) +
        (s.target_halfwidth ? [] : shards_of(s.phases, 'model', campaign, per_phase, s.shard_size) + truths)
    RUN_COLLISIONS(
        Channel.fromList(metas).map { [it.phase, it] }.combine(surfaces, by: 0)
            .map { phase, meta, surface, folder, curve -> [meta, surface] + (meta.id == 'truth' ? [[], []] : [folder, curve]) + [[]] },
        checkpoints, settings.code['run_collisions.py'],
    )
    shards = ['model', 'attempts', 'truth'].collectEntries { id ->
        [id, RUN_COLLISIONS.out.filter { meta, shard -> meta.id == id }.map { meta, shard -> shard }
            .toSortedList { a, b -> a.name <=> b.name }]
    }
    worth_labelling = decision = Channel.value([])
    if (s.target_halfwidth) {
        UNTIL_ENOUGH('sticking', (0..<s.n_azimuth).toList(), surfaces, settings, checkpoints)
        state = UNTIL_ENOUGH.out.state
        shards += [model: state.map { it.shards }, truth: state.map { it.truth }]
        decision = state.map { it.decision }
        if (s.potential == 'gmnn') {
            PROPOSE(
                state.filter { it.reason == 'members' }.combine(driver).combine(Given.inOrder(PREPARE_SURFACE.out).map { [it] })
                    .map { now, folder, curve, prepared ->
                        def staged = [['model', folder]] + (curve ? [['curves', curve]] : []) + prepared.collect { ['surfaces', it] }
                        ['worth_labelling', 0, staged.collect { it[0] }, staged.collect { it[1] }]
                    },
                [step: 'cut-surroundings', takes: []], settings.steps['cut-surroundings'] + [apart: true], checkpoints,
                settings.code['cut_surroundings.py'],
            )
            worth_labelling = PROPOSE.out.map { id, folder, summary -> folder }.ifEmpty([])
        }
    }
    ANALYSE_STICKING(
        Given.inOrder(PREPARE_SURFACE.out), Given.inOrder(BIND_SITES.out), shards.model, shards.attempts, shards.truth, decision, worth_labelling,
        ['sticking_probabilities', 'sticking_coefficients', 'residence_times'].collect {
            file("${projectDir}/assets/reference/${it}.csv")
        },
        settings.steps['analyse-sticking'], settings.code['analyse_sticking.py'],
    )

    emit:
    sections = ANALYSE_STICKING.out.mix(validated, imported)
}
