// Infrared spectra of clusters: minima at the labelling level → a committee → dynamics of model and label → tables.

include { LABEL } from './labels'
include { LEARN } from './learn'
include { IMPORT_FRAMES } from '../modules/frames'
include { SPLIT_STRUCTURES; FIND_MINIMA; GATHER_MINIMA } from '../modules/infrared'
include { DISPLACE_MINIMA; GATHER_LEARNED; RUN_DIPOLES; RUN_LABEL_DIPOLES } from '../modules/infrared'
include { TRAIN_SCHNET; SCHNET_DIPOLES; ANALYSE_INFRARED } from '../modules/infrared'

workflow INFRARED {
    take:
    settings
    checkpoints

    main:
    def i = settings.infrared
    given = [['trained', file(i.structures ?: "${projectDir}/assets/structures/mgsio3.extxyz")]] +
        (i.isomers ? [['unseen', file(i.isomers)]] : [])
    SPLIT_STRUCTURES(Channel.fromList(given), settings.steps['split-structures'], settings.code['split_structures.py'])
    FIND_MINIMA(
        SPLIT_STRUCTURES.out.transpose(), settings.steps['find-minima'], checkpoints, settings.code['find_minima.py'],
    )
    GATHER_MINIMA(
        FIND_MINIMA.out.groupTuple().map { id, found -> [id, found.sort { it.name }] }, settings.code['gather_minima.py'],
    )
    minima = GATHER_MINIMA.out.minima.filter { id, file -> id == 'trained' }.map { id, file -> file }.first()
    isomers = GATHER_MINIMA.out.minima.filter { id, file -> id == 'unseen' }.map { id, file -> file }.toList()
    names = GATHER_MINIMA.out.names.filter { it.name == 'names-trained.txt' }.splitText().map { it.trim() }

    def asked = [level: i.level, coupling_eV: 0, hessian: false, polarizability: false]
    imported = Channel.empty()
    if (i.dataset) {
        (dataset, files, called) = Given.dataset(settings, i.dataset)
        IMPORT_FRAMES(
            dataset, files, Given.ownLevel(settings), settings.steps['import-frames'] + called + Given.windows(settings.labels) + [level: i.level, need_dipoles: true],
            true, 'imports-infrared', settings.code['import_frames.py'],
        )
        labelled = IMPORT_FRAMES.out.labelled
        imported = IMPORT_FRAMES.out.section
    }
    else {
        DISPLACE_MINIMA(minima, settings.steps['displace-minima'], settings.code['displace_minima.py'])
        LABEL(DISPLACE_MINIMA.out.map { [asked + [id: 'infrared-initial'], it] }, settings, checkpoints)
        labelled = LABEL.out.labelled.map { meta, frames -> frames }
    }
    LEARN(
        // Round 0 has the frames to begin with; the last round's frames are the test set.
        [id: 'infrared-round-', rounds: i.max_rounds + 1, first: 0, step: 'learn-round', takes: ['frames', 'before', 'checkpoints'],
         asked: asked + [allow_none: true]],
        labelled, minima.map { [minima: it] }, settings, checkpoints,
    )
    GATHER_LEARNED(
        minima, LEARN.out.state.map { [it.rounds, it.frames, it.failed] },
        settings.steps['gather-learned'], settings.code['gather_learned.py'],
    )
    learned = GATHER_LEARNED.out.first()

    code = settings.code['run_dipoles.py']
    RUN_DIPOLES(
        // In batches on one device; one by one (1 per task) over the nodes of a cluster without GPUs.
        names.collate(i.structures_per_task).map { [it] }.combine(minima).combine(learned),
        settings.steps['run-dipoles'], i.dipole_model == 'schnet', checkpoints, code,
    )
    RUN_LABEL_DIPOLES(
        names.filter { i.n_label_replicas > 0 }.combine(minima),
        settings.steps['run-dipoles'] + [n_replicas: i.n_label_replicas, timestep_fs: i.label_timestep_fs], checkpoints, code,
    )
    dipoles = RUN_DIPOLES.out.flatten()
    if (i.dipole_model == 'schnet') {
        TRAIN_SCHNET(
            learned, settings.steps['train-schnet'], settings.code['train_schnet.py'],
        )
        SCHNET_DIPOLES(dipoles.combine(TRAIN_SCHNET.out.model), settings.code['schnet_dipoles.py'])
        dipoles = SCHNET_DIPOLES.out
    }
    ANALYSE_INFRARED(
        minima, learned,
        dipoles.mix(RUN_LABEL_DIPOLES.out).toSortedList { a, b -> a.name <=> b.name },
        isomers, settings.steps['analyse-infrared'],
        settings.code['analyse_infrared.py'],
    )

    emit:
    sections = ANALYSE_INFRARED.out.mix(imported)
    learned
}
