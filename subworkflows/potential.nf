// Data → gated committee: frames, labels, rounds of training and exploration, final models, validation, choice.

include { SAMPLE_FRAMES; IMPORT_FRAMES; BOND_CURVE } from '../modules/label'
include { PREPARE_DATASET as FINAL_DATASET        } from '../modules/label'
include { TRAIN_DEEPMD; EVALUATE_MODEL; SELECT_MODEL } from '../modules/train'
include { LABEL; asked } from './labels'
include { ROUND as ROUND_1; ROUND as ROUND_2; ROUND as ROUND_3 } from './round'
include { ROUND as ROUND_4; ROUND as ROUND_5; ROUND as ROUND_6 } from './round'

// [[1, b], [0, a]] → [a, b]: one list of what comes with an id, in the order of the ids
def in_order(channel) {
    channel.toSortedList { a, b -> a[0] <=> b[0] }.map { items -> items.collect { it[1] } }
}

// [dataset, files that it names if it is a samplesheet]: what a task must have in its folder
def with_files(Map settings, String dataset) {
    [file(dataset, glob: false), settings.files[dataset].collect { file(it, glob: false) }]
}

workflow POTENTIAL {
    take:
    settings
    checkpoints

    main:
    SAMPLE_FRAMES(settings.steps['sample-frames'], settings.code['sample_frames.py'])
    if (settings.labels.dataset) {
        (dataset, files) = with_files(settings, settings.labels.dataset)
        IMPORT_FRAMES(
            dataset, files, settings.steps['import-frames'], settings.exploration.rounds > 0, 'imports',
            settings.code['import_frames.py'],
        )
        labelled = IMPORT_FRAMES.out.labelled
        imported = IMPORT_FRAMES.out.section
    }
    else {
        LABEL(SAMPLE_FRAMES.out.frames.map { [asked(settings.labels) + [id: 'sampled'], it] }, settings, checkpoints)
        labelled = LABEL.out.labelled.map { meta, frames -> frames }
        imported = Channel.empty()
    }
    BOND_CURVE(settings.steps['bond-curve'], settings.code['bond_curve.py'])

    ROUND_1(1, labelled.map { [frames: [it], clean: false] }, SAMPLE_FRAMES.out.snapshots, BOND_CURVE.out.scan, settings, checkpoints)
    ROUND_2(2, ROUND_1.out.state, SAMPLE_FRAMES.out.snapshots, BOND_CURVE.out.scan, settings, checkpoints)
    ROUND_3(3, ROUND_2.out.state, SAMPLE_FRAMES.out.snapshots, BOND_CURVE.out.scan, settings, checkpoints)
    ROUND_4(4, ROUND_3.out.state, SAMPLE_FRAMES.out.snapshots, BOND_CURVE.out.scan, settings, checkpoints)
    ROUND_5(5, ROUND_4.out.state, SAMPLE_FRAMES.out.snapshots, BOND_CURVE.out.scan, settings, checkpoints)
    ROUND_6(6, ROUND_5.out.state, SAMPLE_FRAMES.out.snapshots, BOND_CURVE.out.scan, settings, checkpoints)
    explorations = ROUND_1.out.trajectories.mix(
        ROUND_2.out.trajectories, ROUND_3.out.trajectories, ROUND_4.out.trajectories,
        ROUND_5.out.trajectories, ROUND_6.out.trajectories,
    )
    explored = ROUND_6.out.state

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
        in_order(TRAIN_DEEPMD.out.map { id, model_id, model -> [model_id, model] }),
        in_order(EVALUATE_MODEL.out),
        in_order(explorations), file("${projectDir}/assets/reference/photodesorption.csv"),
        settings.code['select_model.py'],
    )

    emit:
    model = SELECT_MODEL.out.model
    bond_curves = SELECT_MODEL.out.bond_curves
    aggregates = SAMPLE_FRAMES.out.aggregates
    section = SELECT_MODEL.out.section.mix(imported)
}
