// One round of training and exploration: train the committee on all frames so far, let it run, label what it
// did not know. What is clean already, or beyond the last round, passes through untouched.

include { LABEL; asked                    } from './labels'
include { PREPARE_DATASET                 } from '../modules/label'
include { TRAIN_DEEPMD; EXPLORE_COMMITTEE } from '../modules/train'
include { EXCITE                          } from '../modules/trajectories'

workflow ROUND {
    take:
    round       // number of this round, from 1
    state       // [frames: [labelled.extxyz, …], clean: false]
    snapshots   // ground-state snapshots with velocities, one file
    bond_curves // bond_curves.csv
    settings
    checkpoints

    main:
    def id = "round-${round}"
    def e = settings.exploration
    todo = state.filter { !it.clean && round <= e.rounds }

    PREPARE_DATASET(
        todo.map { [id, it.frames] },
        settings.steps['prepare-dataset'], 'CO', settings.code['prepare_dataset.py'],
    )
    TRAIN_DEEPMD(
        PREPARE_DATASET.out.flatMap { name, dataset ->
            (0..<settings.deepmd.n_models).collect { [name, it, e.n_steps, dataset] }
        },
        settings.deepmd.bond_baseline ? bond_curves : [], settings.steps['train-deepmd'], checkpoints, settings.code['train_deepmd.py'],
    )
    models = TRAIN_DEEPMD.out.toSortedList { a, b -> a[1] <=> b[1] }.filter { it }.map { [it.collect { row -> row[2] }] }

    EXCITE(
        todo.combine(snapshots).combine(bond_curves).flatMap { now, starts, curves ->
            [[e.n_trajectories, 'energy'], [e.n_ground, 'none']].collect { n, excitation ->
                [[id: id, first_id: (round - 1) * n, n: n, excitation: excitation], starts, curves]
            }
        },
        settings.steps['excite'], settings.code['excite.py'],
    )
    EXPLORE_COMMITTEE(
        models.combine(EXCITE.out.map { meta, states -> [meta.excitation, states] }.toSortedList { a, b -> a[0] <=> b[0] }.filter { it }.map { [it.collect { kind -> kind[1] }] })
            .map { members, states -> [id, round, members, states] },
        settings.steps['explore-committee'], settings.code['explore_committee.py'],
    )
    explored = EXPLORE_COMMITTEE.out.candidates.map { name, candidates, summary ->
        // Read at once: the lazy map of JsonSlurper is not safe where several operators share it.
        def found = new groovy.json.JsonSlurperClassic().parse(summary.toFile())
        [name, candidates, [n_candidates: found.n_candidates as int, clean: found.clean as boolean].asImmutable()]
    }
    LABEL(
        explored.filter { name, candidates, summary -> summary.n_candidates > 0 }.map { name, candidates, summary -> [asked(settings.labels) + [id: name], candidates] },
        settings, checkpoints,
    )
    labelled = LABEL.out.labelled.map { meta, frames -> [meta.id, frames] }
        .mix(explored.filter { name, candidates, summary -> summary.n_candidates == 0 }.map { name, candidates, summary -> [name, []] })

    emit:
    state = todo.combine(explored).combine(labelled)
        .map { now, name, candidates, summary, same, found ->
            [frames: now.frames + [found].flatten(), clean: summary.clean]
        }
        .mix(state.filter { it.clean || round > e.rounds })
    trajectories = EXPLORE_COMMITTEE.out.trajectories
}
