// Data → gated committee: frames, labels, rounds of training and exploration, final models, validation, choice.

include { SAMPLE_FRAMES; IMPORT_FRAMES; BOND_CURVE } from '../modules/frames'
include { PREPARE_DATASET as FINAL_DATASET; PREPARE_DATASET as LEARNT_DATASET } from '../modules/dataset'
include { TRAIN_GMNN; VALIDATE_COMMITTEE } from '../modules/gmnn'
include { TRAIN_DEEPMD; EVALUATE_MODEL; SELECT_MODEL } from '../modules/train'
include { LABEL } from './labels'
include { LEARN } from './learn'

// Frames of aggregates, sampled and labelled here or imported.
workflow FIRST_FRAMES {
    take:
    settings
    checkpoints

    main:
    def moving = settings.frames.model
    snapshots = aggregates = Channel.empty()
    if (!settings.labels.dataset || settings.photodesorption.potential == 'deepmd') { // which explores from thermal starts
        SAMPLE_FRAMES(
            moving ? file(moving, glob: false) : [], Given.aggregateFiles(settings.photodesorption),
            settings.steps['sample-frames'] + [model: null] + Given.aggregateNames(settings.photodesorption), settings.code['sample_frames.py'],
        )
        snapshots = SAMPLE_FRAMES.out.snapshots
        aggregates = SAMPLE_FRAMES.out.aggregates
    }
    if (settings.labels.dataset) {
        (dataset, files, called) = Given.dataset(settings, settings.labels.dataset)
        IMPORT_FRAMES(
            dataset, files, Given.ownLevel(settings), settings.steps['import-frames'] + called + Given.windows(settings.labels), settings.exploration.rounds > 0, 'imports',
            settings.code['import_frames.py'],
        )
        labelled = IMPORT_FRAMES.out.labelled
        imported = IMPORT_FRAMES.out.section
    }
    else {
        LABEL(SAMPLE_FRAMES.out.frames.map { [Given.asked(settings.labels) + [id: 'sampled'], it] }, settings, checkpoints)
        labelled = LABEL.out.labelled.map { meta, frames -> frames }
        imported = Channel.empty()
    }

    emit:
    labelled
    imported
    snapshots
    aggregates
}

// A committee of Gaussian-moment networks of any molecules: frames → labels → training → errors.
workflow LEARNT_POTENTIAL {
    take:
    settings
    checkpoints

    main:
    FIRST_FRAMES(settings, checkpoints)
    LEARNT_DATASET(
        FIRST_FRAMES.out.labelled.map { ['final', it] },
        settings.steps['prepare-dataset'], 'any', settings.code['prepare_dataset.py'],
    )
    TRAIN_GMNN(
        LEARNT_DATASET.out.map { it + [[]] }, settings.steps['train-gmnn'] + [n_members: settings.photodesorption.n_members], 0, checkpoints,
        settings.code['train_gmnn.py'],
    )
    model = TRAIN_GMNN.out.map { id, folder -> folder }.first()
    VALIDATE_COMMITTEE(
        model, [], LEARNT_DATASET.out.map { id, dataset -> dataset }, [], 'potential', settings.code['validate_committee.py'],
    )

    emit:
    model
    section = VALIDATE_COMMITTEE.out.mix(FIRST_FRAMES.out.imported)
}

workflow POTENTIAL {
    take:
    settings
    checkpoints

    main:
    FIRST_FRAMES(settings, checkpoints)
    labelled = FIRST_FRAMES.out.labelled
    def curve = settings.labels.bond_curve_file
    BOND_CURVE(
        Given.ownLevel(settings), curve ? file(curve, glob: false) : [],
        settings.labels.bond_curve_of == 'dataset' ? labelled : [],
        settings.steps['bond-curve'], settings.code['bond_curve.py'],
    )

    LEARN(
        [id: 'round-', rounds: settings.exploration.rounds, first: 1, step: 'explore-committee', takes: ['n_processes'],
         asked: Given.asked(settings.labels), committee: 'deepmd', n_steps: settings.exploration.n_steps,
         bond_curve: settings.deepmd.bond_baseline ? BOND_CURVE.out.scan : []],
        labelled,
        FIRST_FRAMES.out.snapshots.combine(BOND_CURVE.out.scan).map { starts, curves -> [snapshots: starts, bond_curves: curves] },
        settings, checkpoints,
    )
    explored = LEARN.out.state

    FINAL_DATASET(
        explored.map { ['final', it.frames] },
        settings.steps['prepare-dataset'], 'CO', settings.code['prepare_dataset.py'],
    )
    TRAIN_DEEPMD(
        FINAL_DATASET.out.flatMap { id, dataset ->
            (0..<settings.deepmd.n_models).collect { [id, it, settings.deepmd.n_steps, dataset] }
        },
        settings.deepmd.bond_baseline ? BOND_CURVE.out.scan : [], settings.steps['train-deepmd'], checkpoints, settings.code['train_deepmd.py'],
    )
    EVALUATE_MODEL(
        TRAIN_DEEPMD.out.map { id, model_id, model -> [model_id, model] }
            .combine(FINAL_DATASET.out.map { id, dataset -> dataset }).combine(BOND_CURVE.out.fine),
        settings.code['evaluate_model.py'],
    )
    SELECT_MODEL(
        Given.inOrder(TRAIN_DEEPMD.out.map { id, model_id, model -> [model_id, model] }),
        Given.inOrder(EVALUATE_MODEL.out),
        explored.map { now -> now.rounds.collect { it.resolve('exploration.csv') } }, file("${projectDir}/assets/reference/photodesorption.csv"),
        settings.code['select_model.py'],
    )

    emit:
    model = SELECT_MODEL.out.model
    // [[model_0/, …], [bond_curves.csv of each, …]]
    members = Given.inOrder(TRAIN_DEEPMD.out.map { id, model_id, model -> [model_id, model] }).map { [it] }
        .combine(Given.inOrder(EVALUATE_MODEL.out).map { [it.collect { folder -> folder.resolve('bond_curves.csv') }] })
    bond_curves = SELECT_MODEL.out.bond_curves
    aggregates = FIRST_FRAMES.out.aggregates
    section = SELECT_MODEL.out.section.mix(FIRST_FRAMES.out.imported)
}
