// Trajectories in rounds of shards, until their probabilities are known as well as asked for (target_halfwidth of
// photodesorption and of sticking). Nextflow has no loops over processes: at most 64 rounds, in groups of eight, are built as they are asked for.

include { EIGHT_ROUNDS_OF_SHARDS as EIGHT_1; EIGHT_ROUNDS_OF_SHARDS as EIGHT_2 } from './eight_rounds_of_shards'
include { EIGHT_ROUNDS_OF_SHARDS as EIGHT_3; EIGHT_ROUNDS_OF_SHARDS as EIGHT_4 } from './eight_rounds_of_shards'
include { EIGHT_ROUNDS_OF_SHARDS as EIGHT_5; EIGHT_ROUNDS_OF_SHARDS as EIGHT_6 } from './eight_rounds_of_shards'
include { EIGHT_ROUNDS_OF_SHARDS as EIGHT_7; EIGHT_ROUNDS_OF_SHARDS as EIGHT_8 } from './eight_rounds_of_shards'

workflow UNTIL_ENOUGH {
    take:
    experiment
    parts       // a list, up to the limit: shards ([id: 'model', …, first_id: 0, n: 100]), or the numbers of azimuths
    starts      // what ROUND_OF_SHARDS runs them from
    settings
    checkpoints

    main:
    def rounds = parts.collate(Math.ceil(parts.size() / 64) as int)
    state = Channel.value([shards: [], truth: [], decision: [], conditions: [], enough: false, reason: 'more'])
    if (rounds.size() > 0)  { EIGHT_1(0, state, experiment, rounds, starts, settings, checkpoints);  state = EIGHT_1.out.state }
    if (rounds.size() > 8)  { EIGHT_2(8, state, experiment, rounds, starts, settings, checkpoints);  state = EIGHT_2.out.state }
    if (rounds.size() > 16) { EIGHT_3(16, state, experiment, rounds, starts, settings, checkpoints); state = EIGHT_3.out.state }
    if (rounds.size() > 24) { EIGHT_4(24, state, experiment, rounds, starts, settings, checkpoints); state = EIGHT_4.out.state }
    if (rounds.size() > 32) { EIGHT_5(32, state, experiment, rounds, starts, settings, checkpoints); state = EIGHT_5.out.state }
    if (rounds.size() > 40) { EIGHT_6(40, state, experiment, rounds, starts, settings, checkpoints); state = EIGHT_6.out.state }
    if (rounds.size() > 48) { EIGHT_7(48, state, experiment, rounds, starts, settings, checkpoints); state = EIGHT_7.out.state }
    if (rounds.size() > 56) { EIGHT_8(56, state, experiment, rounds, starts, settings, checkpoints); state = EIGHT_8.out.state }

    emit:
    state // [shards: [shard_0, …], truth: [], decision: decision.json, enough: true, reason: 'narrow', …]
}
