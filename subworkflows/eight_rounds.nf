// Up to eight rounds of active learning, one after the other (learn.nf).

include { ROUND as ROUND_1; ROUND as ROUND_2; ROUND as ROUND_3; ROUND as ROUND_4 } from './round'
include { ROUND as ROUND_5; ROUND as ROUND_6; ROUND as ROUND_7; ROUND as ROUND_8 } from './round'

workflow EIGHT_ROUNDS {
    take:
    done // rounds before these
    before
    learning
    given
    settings
    checkpoints

    main:
    state = before
    def wanted = learning.rounds - done
    if (wanted > 0) { ROUND_1(done, state, learning, given, settings, checkpoints);     state = ROUND_1.out.state }
    if (wanted > 1) { ROUND_2(done + 1, state, learning, given, settings, checkpoints); state = ROUND_2.out.state }
    if (wanted > 2) { ROUND_3(done + 2, state, learning, given, settings, checkpoints); state = ROUND_3.out.state }
    if (wanted > 3) { ROUND_4(done + 3, state, learning, given, settings, checkpoints); state = ROUND_4.out.state }
    if (wanted > 4) { ROUND_5(done + 4, state, learning, given, settings, checkpoints); state = ROUND_5.out.state }
    if (wanted > 5) { ROUND_6(done + 5, state, learning, given, settings, checkpoints); state = ROUND_6.out.state }
    if (wanted > 6) { ROUND_7(done + 6, state, learning, given, settings, checkpoints); state = ROUND_7.out.state }
    if (wanted > 7) { ROUND_8(done + 7, state, learning, given, settings, checkpoints); state = ROUND_8.out.state }

    emit:
    state
}
