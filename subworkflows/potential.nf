// Data → gated committee: frames, labels, rounds of training and exploration, final models, validation, choice.

include { SAMPLE_FRAMES; IMPORT_FRAMES; BOND_CURVE } from '../modules/label'
include { PREPARE_DATASET as FINAL_DATASET        } from '../modules/label'
include { TRAIN_DEEPMD; EVALUATE_MODEL; SELECT_MODEL } from '../modules/train'
include { LABEL; asked; own_level } from './labels'
include { LEARN                   } from './learn'

// [[1, b], [0, a]] → [a, b]: one list of what comes with an id, in the order of the ids
def in_order(channel) {
    channel.toSortedList { a, b -> a[0] <=> b[0] }.map { items -> items.collect { it[1] } }
}

// [dataset, files that it names if it is a samplesheet, [names: what it calls them]]: what a task must have
def with_files(Map settings, String dataset) {
    [file(dataset, glob: false), settings.files[dataset].collect { file(it, glob: false) }, [names: settings.names[dataset]]]
}

// The sampling windows for a data set's trajectories, where it is to be thinned.
def windows(Map labels) { labels.thin ? labels.subMap('window_starts_fs', 'window_intervals_fs') : [:] }

workflow POTENTIAL {
    take:
    settings
    checkpoints

    main:
    SAMPLE_FRAMES(settings.steps['sample-frames'], settings.code['sample_frames.py'])
    if (settings.labels.dataset) {
        (dataset, files, called) = with_files(settings, settings.labels.dataset)
        IMPORT_FRAMES(
            dataset, files, own_level(settings), settings.steps['import-frames'] + called + windows(settings.labels), settings.exploration.rounds > 0, 'imports',
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
    def curve = settings.labels.bond_curve_file
    BOND_CURVE(
        own_level(settings), curve ? file(curve, glob: false) : [],
        settings.labels.bond_curve_of == 'dataset' ? labelled : [],
        settings.steps['bond-curve'], settings.code['bond_curve.py'],
    )

    LEARN(
        [id: 'round-', rounds: settings.exploration.rounds, first: 1, step: 'explore-committee', takes: ['n_processes'],
         asked: asked(settings.labels), committee: 'deepmd', n_steps: settings.exploration.n_steps,
         bond_curve: settings.deepmd.bond_baseline ? BOND_CURVE.out.scan : []],
        labelled,
        SAMPLE_FRAMES.out.snapshots.combine(BOND_CURVE.out.scan).map { starts, curves -> [snapshots: starts, bond_curves: curves] },
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
        in_order(TRAIN_DEEPMD.out.map { id, model_id, model -> [model_id, model] }),
        in_order(EVALUATE_MODEL.out),
        explored.map { now -> now.rounds.collect { it.resolve('exploration.csv') } }, file("${projectDir}/assets/reference/photodesorption.csv"),
        settings.code['select_model.py'],
    )

    emit:
    model = SELECT_MODEL.out.model
    // [[model_0/, …], [bond_curves.csv of each, …]]
    members = in_order(TRAIN_DEEPMD.out.map { id, model_id, model -> [model_id, model] }).map { [it] }
        .combine(in_order(EVALUATE_MODEL.out).map { [it.collect { folder -> folder.resolve('bond_curves.csv') }] })
    bond_curves = SELECT_MODEL.out.bond_curves
    aggregates = SAMPLE_FRAMES.out.aggregates
    section = SELECT_MODEL.out.section.mix(imported)
}
