// H2 sticking on CO ice: potential → surfaces → binding sites and collisions → statistics.

include { LABEL                          } from './labels'
include { division                       } from './round'
include { in_order; with_files           } from './potential'
include { IMPORT_FRAMES; PREPARE_DATASET } from '../modules/label'
include { TRAIN_GMNN                     } from '../modules/gmnn'
include { SAMPLE_CLUSTERS; TAKE_MOLECULES_OUT; VALIDATE_COMMITTEE       } from '../modules/sticking'
include { PREPARE_SURFACE; BIND_SITES; RUN_COLLISIONS; ANALYSE_STICKING } from '../modules/sticking'

// The shards of n trajectories of each phase, e.g. [[id: 'model', phase: 'crystalline', first: 0, n: 36, campaign: […]], …]
def shards_of(String id, Map campaign, int n, int size) {
    ['crystalline', 'amorphous'].collectMany { phase ->
        (0..<n).step(size).collect { first ->
            [id: id, phase: phase, first: first, n: Math.min(size, n - first), campaign: campaign]
        }
    }
}

workflow STICKING {
    take:
    settings
    checkpoints

    main:
    def s = settings.sticking
    def seed = settings.campaign_seed
    def published = 'photodesorption' in settings.experiments ? 'sticking_potential' : 'potential'
    imported = Channel.empty()
    if (s.potential == 'gmnn' && s.model) {
        def ready = file(s.model, glob: false)
        model = Channel.value(ready)
        curves = Channel.value(ready.resolve('molecular_curves.csv').exists() ? ready.resolve('molecular_curves.csv') : [])
        VALIDATE_COMMITTEE(
            model, curves, ready, ready.resolve('scans.extxyz'), published, Code.of(projectDir, 'validate_committee.py'),
        )
        validated = VALIDATE_COMMITTEE.out
    }
    else if (s.potential == 'gmnn') {
        // With frames or scans of your own none are made here; what is left is molecules alone.
        SAMPLE_CLUSTERS(
            s.dataset ? 0 : s.training_scale, s.dataset ? 0 : s.n_placed, s.scans ? 0 : s.n_scans, seed, Code.of(projectDir, 'sample_clusters.py'),
        )
        clusters = s.dataset ? Channel.empty() : SAMPLE_CLUSTERS.out.clusters
        LABEL(
            clusters.map { ['clusters', it] }
                .mix(SAMPLE_CLUSTERS.out.molecules.map { ['molecules', it] })
                .mix(SAMPLE_CLUSTERS.out.scans.filter { !s.scans }.map { ['scans', it] })
                .map { id, frames -> [[id: id, level: s.label_level, coupling_eV: 0], frames] },
            settings.labels, checkpoints,
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
            (dataset, files) = with_files(s.dataset)
            IMPORT_FRAMES(
                dataset, files, [level: s.label_level, coupling_eV: 0, on_suspect: settings.labels.on_suspect],
                true, 'imports-sticking', Code.of(projectDir, 'import_frames.py'),
            )
            trained_on = IMPORT_FRAMES.out.labelled
            imported = IMPORT_FRAMES.out.section
        }
        if (s.interaction_only) {
            TAKE_MOLECULES_OUT(
                trained_on, labelled.molecules, s.force_scale_eV_per_A, Code.of(projectDir, 'take_molecules_out.py'),
            )
            frames = TAKE_MOLECULES_OUT.out.frames
            curves = TAKE_MOLECULES_OUT.out.curves.first()
        }
        else {
            frames = trained_on
            curves = Channel.value([])
        }
        PREPARE_DATASET(
            frames.map { ['clusters', it] },
            division(settings.labels) + [molecules: 'any'], seed, Code.of(projectDir, 'prepare_dataset.py'),
        )
        TRAIN_GMNN(
            PREPARE_DATASET.out, settings.gmnn + [n_members: s.n_members], seed, checkpoints,
            Code.of(projectDir, 'train_gmnn.py'),
        )
        model = TRAIN_GMNN.out.map { id, folder -> folder }.first()
        VALIDATE_COMMITTEE(
            model, curves, PREPARE_DATASET.out.map { id, dataset -> dataset },
            s.scans ? file(s.scans, glob: false) : labelled.scans,
            published, Code.of(projectDir, 'validate_committee.py'),
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
        Channel.of('crystalline', 'amorphous').combine(driver),
        s.subMap('n_crystalline', 'n_crystalline_fixed', 'n_amorphous', 'n_amorphous_fixed', 'lattice_A', 'face',
            'radius_A', 'shell_A', 'density_g_per_cm3', 'surface_temperatures_K', 'n_snapshots', 'thermalization_fs',
            'anneal_temperature_K', 'anneal_fs', 'surface_timestep_fs', 'damping_fs'),
        seed, Code.of(projectDir, 'prepare_surface.py'),
    )
    surfaces = PREPARE_SURFACE.out.combine(driver) // [phase, surface/, gmnn/ or [], molecular_curves.csv or []]
    BIND_SITES(
        surfaces,
        s.subMap('binding_surfaces', 'binding_area_A2', 'binding_spacing_A', 'binding_clearance_A',
            'binding_max_force_eV_per_A', 'binding_max_steps', 'width') + [truth: s.potential == 'gmnn' && s.truth],
        seed, Code.of(projectDir, 'bind_sites.py'),
    )
    def campaign = s.subMap('surface_temperatures_K', 'energies_K', 'polar_max_deg', 'n_polar', 'n_azimuth', 'azimuth',
        'aim_radius_A', 'start_height_A', 'bounce_A', 'timestep_fs', 'duration_fs', 'width', 'model_error') + [keep_paths: 0]
    def per_phase = s.n_polar * s.n_azimuth * s.energies_K.size() * s.surface_temperatures_K.size()
    // Along the normal, at the lowest energy, never ended by distance: the attempts to leave.
    def attempts = campaign + [surface_temperatures_K: [s.attempts_temperature_K], energies_K: [s.energies_K.min()],
        polar_max_deg: 0, n_polar: 1, n_azimuth: s.n_attempts, bounce_A: 1000, duration_fs: s.attempts_duration_fs,
        model_error: false, keep_paths: s.n_attempts]
    def truths = s.potential == 'gmnn' && s.truth ? shards_of('truth', campaign + [model_error: false], per_phase, s.shard_size) : []
    def metas = shards_of('attempts', attempts, s.n_attempts, s.n_attempts) +
        shards_of('model', campaign, per_phase, s.shard_size) + truths
    RUN_COLLISIONS(
        Channel.fromList(metas).map { [it.phase, it] }.combine(surfaces, by: 0)
            .map { phase, meta, surface, folder, curve -> [meta, surface] + (meta.id == 'truth' ? [[], []] : [folder, curve]) },
        seed, checkpoints, Code.of(projectDir, 'run_collisions.py'),
    )
    shards = ['model', 'attempts', 'truth'].collectEntries { id ->
        [id, RUN_COLLISIONS.out.filter { meta, shard -> meta.id == id }.map { meta, shard -> shard }
            .toSortedList { a, b -> a.name <=> b.name }]
    }
    ANALYSE_STICKING(
        in_order(PREPARE_SURFACE.out), in_order(BIND_SITES.out), shards.model, shards.attempts, shards.truth,
        ['sticking_probabilities', 'sticking_coefficients', 'residence_times'].collect {
            file("${projectDir}/assets/reference/${it}.csv")
        },
        s.subMap('gas_temperatures_K', 'residence_temperatures_K', 'attempts_after_fs'),
        seed, Code.of(projectDir, 'analyse_sticking.py'),
    )

    emit:
    sections = ANALYSE_STICKING.out.mix(validated, imported)
}
