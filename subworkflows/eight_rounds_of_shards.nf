// Up to eight rounds of shards, one after the other (until_enough.nf).

include { ROUND_OF_SHARDS as ROUND_1; ROUND_OF_SHARDS as ROUND_2; ROUND_OF_SHARDS as ROUND_3 } from './round_of_shards'
include { ROUND_OF_SHARDS as ROUND_4; ROUND_OF_SHARDS as ROUND_5; ROUND_OF_SHARDS as ROUND_6 } from './round_of_shards'
include { ROUND_OF_SHARDS as ROUND_7; ROUND_OF_SHARDS as ROUND_8 } from './round_of_shards'

workflow EIGHT_ROUNDS_OF_SHARDS {
    take:
    done // rounds before these
    before
    experiment
    rounds
    starts
    settings
    checkpoints

    main:
    state = before
    def wanted = rounds.size() - done
    if (wanted > 0) { ROUND_1(done, state, experiment, rounds, starts, settings, checkpoints);     state = ROUND_1.out.state }
    if (wanted > 1) { ROUND_2(done + 1, state, experiment, rounds, starts, settings, checkpoints); state = ROUND_2.out.state }
    if (wanted > 2) { ROUND_3(done + 2, state, experiment, rounds, starts, settings, checkpoints); state = ROUND_3.out.state }
    if (wanted > 3) { ROUND_4(done + 3, state, experiment, rounds, starts, settings, checkpoints); state = ROUND_4.out.state }
    if (wanted > 4) { ROUND_5(done + 4, state, experiment, rounds, starts, settings, checkpoints); state = ROUND_5.out.state }
    if (wanted > 5) { ROUND_6(done + 5, state, experiment, rounds, starts, settings, checkpoints); state = ROUND_6.out.state }
    if (wanted > 6) { ROUND_7(done + 6, state, experiment, rounds, starts, settings, checkpoints); state = ROUND_7.out.state }
    if (wanted > 7) { ROUND_8(done + 7, state, experiment, rounds, starts, settings, checkpoints); state = ROUND_8.out.state }

    emit:
    state
}
