// Dynamic training against its controls: trajectories → a seed of every arm → test runs → comparison.

include { PREPARE_TRAJECTORIES; TRAIN_DYNAMIC; JUDGE_DYNAMIC; ANALYSE_DYNAMIC } from '../modules/dynamic_training'

workflow DYNAMIC_TRAINING {
    take:
    settings
    checkpoints

    main:
    def d = settings.dynamic_training
    PREPARE_TRAJECTORIES(
        settings.steps['prepare-trajectories'].findAll { name, value -> name != 'dataset' },
        d.dataset ? file(d.dataset, glob: false) : [], settings.code['prepare_trajectories.py'],
    )
    trajectories = PREPARE_TRAJECTORIES.out
    TRAIN_DYNAMIC(
        Channel.fromList((0..<d.n_seeds).toList()), trajectories, settings.steps['train-dynamic'], checkpoints, settings.code['train_dynamic.py'],
    )
    JUDGE_DYNAMIC(TRAIN_DYNAMIC.out, trajectories, settings.steps['judge-dynamic'], settings.code['judge_dynamic.py'])
    ANALYSE_DYNAMIC(
        trajectories, JUDGE_DYNAMIC.out.toSortedList { a, b -> a.name <=> b.name },
        TRAIN_DYNAMIC.out.map { seed, folder -> folder }.toSortedList { a, b -> a.name <=> b.name },
        settings.steps['analyse-dynamic'], settings.code['analyse_dynamic.py'],
    )

    emit:
    sections = ANALYSE_DYNAMIC.out
}
