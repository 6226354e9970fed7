"""What the figures say when they are drawn from the stores of the tests.

First come the figure's own texts, then "title | x label | y label" of each panel, then the legends. Decimal numbers are
#. White space does not count.
"""

from __future__ import annotations

SAID = {
    "fig_1_1": r"""
        (a) ρ = 28 | x | z
        (b) | | x
        (c) ρ = 16 | x | z
        (d) | | x
        (e) ρ = 5 | x | z
        (f) | | x
        (g) ρ = 1 | x | z
        (h) | time [time units] | x
        legend: transient, after the transient (coloured), stable fixed point
    """,
    "fig_1_2": r"""
        (a) all exponents | index of exponent | Lyapunov exponent [nats/time unit]
        (b) the largest | ρ, and number of runs in steps with a positive exponent | Lyapunov exponent [nats/time
            unit]
        legend: ρ = 28, ρ = 16, ρ = 5, ρ = 1, short run, 40 time units, T_init in steps, 10 + 4000 steps, mean
            and range, converged, 32 × 200 time units, eigenvalues at the stable fixed point
    """,
    "fig_2_1": r"""
        | with respect to a hidden unit at step t − 1 | derivative of a hidden unit at step t
        legend contains the derivative of: layer 1, layer 2, layer 3, layer 4, darker: larger
    """,
    "fig_2_2": r"""
        network of p = # after epoch 14
        (a) 24 of 32 exponents | measured steps | Lyapunov exponent [nats/step]
        (b) mean ± standard deviation over 10 sequences | index of exponent | Lyapunov exponent [nats/step]
    """,
    "fig_2_3": r"""
        (d) spectra | index of exponent | Lyapunov exponent [nats/step]
        (e) the first 20 exponents, ± standard deviation | index of exponent | Lyapunov exponent [nats/step]
        (a) gain #: λ₁ = −# | time [steps] | activation of a unit
        (b) gain #: λ₁ = +# | time [steps] |
        (c) gain 3: λ₁ = +# | time [steps] |
        legend: first input (light colours), second input (dark), stable, gain #, marginal, gain #, chaotic,
            gain 3
    """,
    "fig_2_4": r"""
        network of p = # after epoch 14
        (a) no warm-up: early change # nats/step early bias # nats/step | measured steps | Lyapunov exponent
            [nats/step]
        (b) warm-up of 100 steps: early change # nats/step early bias # nats/step | measured steps |
        (c) warm-up of 250 steps: early change # nats/step | measured steps |
    """,
    "fig_2_5": r"""
        (a) full spectrum; grey: its first half | index of exponent | Lyapunov exponent [nats/step]
        (b) first half | index of exponent | Lyapunov exponent [nats/step]
        legend largest change of an exponent in the first and in the second half [nats/step]: $T_\mathrm{ON}$ =
            1, $T_\mathrm{ON}$ = 2: 1e-05 and 4e-05, $T_\mathrm{ON}$ = 5: # and #, $T_\mathrm{ON}$ = 10: # and
            #, $T_\mathrm{ON}$ = 20: # and #, $T_\mathrm{ON}$ = 50: # and 1
    """,
    "fig_2_6": r"""
        (a) epoch 0: before training | index of exponent | Lyapunov exponent [nats/step]
        (b) epoch 4 | index of exponent |
        (c) epoch 15 | index of exponent |
        (d) from epoch t − 1 to t; $\propto t^{-#}$ (median) | epoch t | mean squared change of exponents
            [nats²/step²]
        (e) relative to epoch 15 | epoch t | difference of mean exponent [nats/step]
        legend: p = #, p = #, p = #, p = #, p = #, p = #, 1/t
    """,
    "fig_2_7": r"""
        (a) CharRNN, 23 networks | index of exponent | Lyapunov exponent [nats/step]
        (b) CharRNN: r = #, ρ = −# | LE max [nats/step] | validation loss [nats]
        (c) Mocap, 11 networks | index of exponent | Lyapunov exponent [nats/step]
        (d) Mocap: r = −#, ρ = −# | LE mean [nats/step] | validation loss [MSE]
        legend highlighted networks, from the smallest LE max (CharRNN) or LE mean (Mocap), blue, to the
            largest, brown: blue, orange, green, red, purple, brown, other networks
    """,
    "fig_2_8": r"""
        (a) | LE max [nats/step] | validation loss [nats]
        (b) | LE mean [nats/step] |
        legend highlighted networks, from the smallest LE max (CharRNN), blue, to the largest, brown: blue,
            orange, green, red, purple, brown, epoch 0, epoch 4, epoch 8
    """,
    "fig_2_b1": r"""
        (a) LE max [nats/step]: r = #, ρ = −# | | loss [nats]
        (b) LE max [nats/step]: r = −#, ρ = −# | | loss [MSE]
        (c) LE mean [nats/step]: r = #, ρ = −# | | loss [nats]
        (d) LE mean [nats/step]: r = −#, ρ = −# | | loss [MSE]
        (e) LE variance [nats²/step²]: r = −#, ρ = −# | | loss [nats]
        (f) LE variance [nats²/step²]: r = #, ρ = # | | loss [MSE]
        (g) LE near zero [number]: r = −#, ρ = −# | | loss [nats]
        (h) LE near zero [number]: r = −#, ρ = −# | | loss [MSE]
        (i) LE above zero [number]: r = −#, ρ = # | | loss [nats]
        (j) LE above zero [number]: r = −#, ρ = −# | | loss [MSE]
        (k) Kaplan-Yorke dimension: r = −#, ρ = # | | loss [nats]
        (l) Kaplan-Yorke dimension: r = −#, ρ = −# | | loss [MSE]
        (m) initial slope [nats/step/index]: r = #, ρ = # | | loss [nats]
        (n) initial slope [nats/step/index]: r = −#, ρ = −# | | loss [MSE]
        (o) final slope [nats/step/index]: r = #, ρ = # | statistic of the spectrum, CharRNN | loss [nats]
        (p) final slope [nats/step/index]: r = −#, ρ = −# | statistic of the spectrum, Mocap | loss [MSE]
        legend near zero: within # nats/step of it highlighted networks, from the smallest LE max (CharRNN) or
            LE mean (Mocap), blue, to the largest, brown: blue, orange, green, red, purple, brown, other
            networks
    """,
    "fig_2_b2": r"""
        (a) r = #, ρ = −# | validation loss [nats] | validation accuracy
        (b) | LE max [nats/step] |
        (c) | LE mean [nats/step] |
        legend highlighted networks, from the smallest LE max (CharRNN), blue, to the largest, brown: blue,
            orange, green, red, purple, brown, epoch 0, epoch 4, epoch 8
    """,
    "fig_3_1": r"""
        (a) after training | initialisation parameter p | validation loss [nats]
        (b) predicted at 40% of training | initialisation parameter p |
        (c) errors | RMS error on held-out networks [nats] |
        legend: hidden size 16, hidden size 24, hidden size 32, hidden size 48, one seed, mean over seeds
    """,
    "fig_3_2": r"""
        (a) ε = #, γ = #: 6 networks | real part of eigenvalue | imaginary part of eigenvalue
        (b) ε = 1, γ = #: 6 networks | real part of eigenvalue | imaginary part of eigenvalue
        | | validation loss [nats]
    """,
    "fig_3_3": r"""
        (a) ε = #, γ = #: 6 networks | index of exponent | Lyapunov exponent [nats/step]
        (b) ε = 1, γ = #: 6 networks | index of exponent | Lyapunov exponent [nats/step]
        | | validation loss [nats]
    """,
    "fig_3_4": r"""
        (a) mean ± standard deviation over 2 seeds | epoch of PredNet's training | validation mean square error
            [nats²]
        (b) difference, with 95% interval | error, eigenvalues − spectra [nats²] |
        legend: Jacobian eigenvalues, Lyapunov spectra, mean of the training networks
    """,
    "fig_3_5": r"""
        (a) features of a spectrum | index of exponent | Lyapunov exponent [nats/step]
        legend: coRNN, maximum #, initial slope −#, final slope −#, 16 above zero
        (b) before training | index of exponent | Lyapunov exponent [nats/step]
        (c) after training | index of exponent |
        legend: RNN, LSTM, GRU, ASRNN, coRNN, Lipschitz RNN, Noisy RNN, LEM
    """,
    "fig_3_6": r"""
        (a) the autoencoder | |
        (b) 21 test networks, first of 2 seeds: F1 # | AeLLE PC1 | AeLLE PC2
        legend: predicted low error, high error, low error, median of PC1
    """,
    "fig_3_7": r"""
        (a) last period of free runs | time step |
        legend: target, free run
        | AeLLE PC1 | AeLLE PC2
        legend: high error, low error, median of PC1
        (b) 21 test networks, first of 2 seeds | | networks
        (c) all 63 networks | AeLLE PC1 | AeLLE PC2
        legend: g #, g #, g #, g #, g #, g #, g #, g #, g #, g 2
    """,
    "fig_3_8": r"""
        (a) an input and its target | characters, row by row |
        | AeLLE PC1 | AeLLE PC2
        legend: high error, low error, median of PC1
        (b) 21 test networks, first of 2 seeds | | networks
        (c) all 63 networks | AeLLE PC1 | AeLLE PC2
        legend: hidden size 16, hidden size 24, hidden size 32, hidden size 48
    """,
    "fig_3_9": r"""
        (a) an input; its label: 3 | input feature (column) | time step (row)
        | AeLLE PC1 | AeLLE PC2
        legend: high error, low error, median of PC1
        (b) 21 test networks, first of 2 seeds | | networks
        (c) all 63 networks | AeLLE PC1 | AeLLE PC2
        legend: RNN, LSTM, GRU, ASRNN, coRNN, Lipschitz RNN, Noisy RNN, LEM
        (d) the 6 networks in the box of (c) | AeLLE PC1 | AeLLE PC2
    """,
    "fig_3_10": r"""
        21 test networks, first of 2 seeds
        (a) 0% of training: F1 # | AeLLE PC1 | AeLLE PC2
        (b) 10% of training: F1 # | AeLLE PC1 |
        (c) 20% of training: F1 # | AeLLE PC1 |
        (d) 50% of training: F1 # | AeLLE PC1 |
        legend: predicted low error, high error, low error, threshold of best F1 (training part)
    """,
    "fig_3_11": r"""
        21 test networks, first of 2 seeds
        (a) 0% of training | LE mean [nats/step] | networks
        (b) 10% of training | LE mean [nats/step] |
        (c) 20% of training | LE mean [nats/step] |
        (d) 50% of training | LE mean [nats/step] |
        (e) | LE max [nats/step] | networks
        (f) | LE max [nats/step] |
        (g) | LE max [nats/step] |
        (h) | LE max [nats/step] |
        (i) | LE PC1 [nats/step] | networks
        (j) | LE PC1 [nats/step] |
        (k) | LE PC1 [nats/step] |
        (l) | LE PC1 [nats/step] |
        (m) | AeLLE PC1 | networks
        (n) | AeLLE PC1 |
        (o) | AeLLE PC1 |
        (p) | AeLLE PC1 |
        legend: low error, high error, threshold of best F1 (training part)
    """,
    "fig_3_12": r"""
        (a) spectra | index of exponent | Lyapunov exponent [nats/step]
        (b) AeLLE, first of 2 seeds | AeLLE PC1 | AeLLE PC2
        (c) final loss | validation loss [nats] | architecture
        legend: RNN, LSTM, GRU, ASRNN, coRNN, Lipschitz RNN, Noisy RNN, LEM, all networks, median of PC1, median
            loss of all networks
    """,
    "fig_3_13": r"""
        Test networks: reconstruction error # nats/step (median spectrum: #), R² of the predicted loss #
        (a) all 63 networks, first of 2 seeds | AeLLE PC1 | AeLLE PC2
        legend: RNN, LSTM, GRU, ASRNN, coRNN, Lipschitz RNN, Noisy RNN, LEM
        (b) test networks, predicted loss changed by ΔT [nats] | AeLLE PC1 | AeLLE PC2
        legend: ΔT = −#, ΔT = −#, ΔT = 0, ΔT = +#, ΔT = +#
    """,
    "fig_3_14": r"""
        Lyapunov exponent [nats/step]
        spectra decoded after a change ΔT of the predicted loss [nats], first of 2 seeds Test networks:
            reconstruction error # nats/step (median spectrum: #), R² of the predicted loss #
        (a) RNN | |
        (b) LSTM | |
        (c) GRU | |
        (d) ASRNN | |
        (e) coRNN | index of exponent |
        (f) Lipschitz RNN | index of exponent |
        (g) Noisy RNN | index of exponent |
        (h) LEM | index of exponent |
        legend: measured, ΔT = −#, ΔT = −#, ΔT = 0, ΔT = +#, ΔT = +#
    """,
    "fig_3_15": r"""
        Test networks: reconstruction error # nats/step (median spectrum: #), R² of the predicted loss #
        (a) all 63 networks, first of 2 seeds | AeLLE PC1 | AeLLE PC2
        (b) 10 decoded spectra of predicted loss zero | index of exponent | Lyapunov exponent [nats/step]
        legend: RNN, LSTM, GRU, ASRNN, coRNN, Lipschitz RNN, Noisy RNN, LEM, predicted loss zero
    """,
    "fig_3_b1": r"""
        21 test networks, first of 2 seeds
        (a) F1 # (mean), # (max) | LE mean [nats/step] | LE max [nats/step]
        (b) F1 # | LE PC1 [nats/step] | LE PC2 [nats/step]
        (c) F1 # | AeLLE PC1 | AeLLE PC2
        legend: high error, low error, median (training part)
    """,
    "fig_3_b4": r"""
        (a) Target learning 21 test networks, first of 2 seeds F1 # (mean), # (max) | LE mean [nats/step] | LE
            max [nats/step]
        (b) CharRNN 21 test networks, first of 2 seeds F1 # (mean), # (max) | LE mean [nats/step] | LE max
            [nats/step]
        (c) SMNIST 21 test networks, first of 2 seeds F1 # (mean), # (max) | LE mean [nats/step] | LE max
            [nats/step]
        (d) F1 # | LE PC1 [nats/step] | LE PC2 [nats/step]
        (e) F1 # | LE PC1 [nats/step] | LE PC2 [nats/step]
        (f) F1 # | LE PC1 [nats/step] | LE PC2 [nats/step]
        (g) F1 # | AeLLE PC1 | AeLLE PC2
        (h) F1 # | AeLLE PC1 | AeLLE PC2
        (i) F1 # | AeLLE PC1 | AeLLE PC2
        legend: high error, low error, median (training part)
    """,
    "fig_extra_pruning": r"""
        (a) pools of 8, 16, 32 networks | total training [epochs] | final loss of the best network [nats]
        (b) training for the same loss | networks in the pool | training relative to full training
        legend: full training of all networks, halving by AeLLE's prediction, halving by architecture, halving
            by loss so far, halving by chance, halving by AeLLE, including its training networks
    """,
    "fig_4_1": r"""
        first 4 vectors dissertation (128 units): #, # | | small weights Q of Jᵀ Q (eq. #) right singular
            vectors density
        last 4 vectors dissertation (128 units): #, # | |
        random 4 vectors dissertation (128 units): #, # | |
        | | uniform weights Q of Jᵀ Q (eq. #) right singular vectors density
        | | small weights Q of J Q left singular vectors density
        | alignment with the first 2 | uniform weights Q of J Q left singular vectors density
        | alignment with the first 2 |
        | alignment with the first 2 |
        legend: epoch 0, epoch 5, random frames, σ = #
    """,
    "fig_4_2": r"""
        first 2 singular vectors, epoch 0 | | small weights Q of Jᵀ Q (eq. #) right singular vectors σ of
            alignment
        first 2 singular vectors, epoch 5 | |
        last 2 singular vectors, epoch 0 | |
        last 2 singular vectors, epoch 5 | |
        | | uniform weights Q of Jᵀ Q (eq. #) right singular vectors σ of alignment
        | | small weights Q of J Q left singular vectors σ of alignment
        | index of Q vector | uniform weights Q of J Q left singular vectors σ of alignment
        | index of Q vector |
        | index of Q vector |
        | index of Q vector |
        legend: random frames, 1/√H, step 1, step 3, step 5
    """,
    "fig_4_3": r"""
        (a) one input | step | log R [nats/step]
        legend: log of first R value, first finite-time exponent
        (b) in descending order | rank of the step | mean log R [nats/step]
        legend: first R value, mean of the first 3
    """,
    "fig_4_4": r"""
        (a) each image of the dissertation's test | number of flipped pixels | increase of the loss [nats]
        (b) means ± standard error over images | number of flipped pixels | increase of the loss [nats]
        legend: largest R value, random, largest R, warm-up, largest R of Jᵀ Q, largest R of Jᵀ Q, warm-up,
            largest mean log R, largest gradient, brightest
    """,
    "fig_4_5": r"""
        (a) digit 0 | |
        (b) 4 flips, largest R | |
        (c) | | output
        (d) digit 1 | |
        (e) 4 flips, largest R | |
        (f) | digit | output
        legend: original image, flipped at the largest R values, random flips, draw 1, random flips, draw 2
    """,
    "fig_4_b1": r"""
        (a) training | epoch | training loss [nats]
        (b) epoch 0 | step | participation ratio
        (c) epoch # | step |
        (d) epoch # | step | participation ratio
        (e) epoch 1 | step |
        (f) epoch 2 | step |
        legend: small weights, uniform weights
    """,
    "fig_4_c2": r"""
        first 4 vectors | | small weights Q of Jᵀ Q (eq. #) right singular vectors density
        last 4 vectors | |
        random 4 vectors | |
        | | uniform weights Q of Jᵀ Q (eq. #) right singular vectors density
        | | small weights Q of J Q left singular vectors density
        | alignment with the last 2 | uniform weights Q of J Q left singular vectors density
        | alignment with the last 2 |
        | alignment with the last 2 |
        legend: epoch 0, epoch 5, random frames, σ = #
    """,
    "fig_4_d": r"""
        (a) digit 2 | |
        (b) 4 flips, largest R | |
        (c) | | output
        (d) digit 3 | |
        (e) 4 flips, largest R | |
        (f) | | output
        (g) digit 4 | |
        (h) 4 flips, largest R | |
        (i) | | output
        (j) digit 5 | |
        (k) 4 flips, largest R | |
        (l) | digit | output
        legend: original image, flipped at the largest R values, random flips, draw 1, random flips, draw 2
    """,
    "fig_extra_clv_alignment": r"""
        first 4 vectors | | small weights Q of J Q, settled left singular vectors density
        last 4 vectors | |
        random 4 vectors | |
        | | uniform weights Q of J Q, settled left singular vectors density
        | | small weights Q of J Q, settled right singular vectors density
        | | uniform weights Q of J Q, settled right singular vectors density
        | | small weights covariant vectors left singular vectors density
        | | uniform weights covariant vectors left singular vectors density
        | | small weights covariant vectors right singular vectors density
        | alignment with the first 2 | uniform weights covariant vectors right singular vectors density
        | alignment with the first 2 |
        | alignment with the first 2 |
        legend: epoch 0, epoch 5, random frames, σ = #
    """,
    "fig_extra_flip_comparisons": r"""
        (a) random pixels | number of flipped pixels | excess of the loss [nats]
        (b) pixels ranked in other images | number of flipped pixels |
        (c) random pixels, later steps only | number of flipped pixels |
        legend: largest R value, largest R, warm-up, largest R of Jᵀ Q, largest R of Jᵀ Q, warm-up, largest mean
            log R, largest gradient, brightest
    """,
}
SAID |= dict.fromkeys(("fig_3_b2", "fig_3_b3"), SAID["fig_3_b1"])
