"""What the figures say when they are drawn from the stores of the tests.

First come height, rows and columns, then the figure's own texts, a line for each panel, and the legends. The line of a
panel is "title | x label | y label | line at ...", with the straight lines across it. Decimal numbers are #. White
space does not count.
"""

from __future__ import annotations

SAID = {
    "fig_1_1": r"""
        6.6 inches high, 4 x 2 places:
        (a) ρ = 28 | x | z
        (b) | | x
        (c) ρ = 16 | x | z
        (d) | | x
        (e) ρ = 5 | x | z
        (f) | | x
        (g) ρ = 1 | x | z
        (h) | time [time units] | x
        legend in 3 columns: transient, after the transient (coloured), stable fixed point
    """,
    "fig_1_2": r"""
        3.2 inches high, 1 x 2 places:
        (a) all exponents | index of exponent | Lyapunov exponent [nats/time unit] | line at y = 0
        (b) the largest | ρ, and number of runs in steps
        with a positive exponent | Lyapunov exponent [nats/time unit] | line at y = 0
        legend in 3 columns: ρ = 28, ρ = 16, ρ = 5, ρ = 1, short run, 40 time units, T_init in steps, 10 + 4000
            steps, mean and range, converged, 32 × 200 time units, eigenvalues at the stable fixed point
    """,
    "fig_2_1": r"""
        4.4 inches high, 1 x 1 places:
        | with respect to a hidden unit at step t − 1 | derivative of a hidden unit at step t | line at y = 0 |
            line at x = 0 | line at y = 1 | line at x = 1 | line at y = 2 | line at x = 2 | line at y = 3 | line
            at x = 3 | line at y = 4 | line at x = 4
        legend in 1 columns contains the derivative of: layer 1, layer 2, layer 3, layer 4, darker: larger
    """,
    "fig_2_2": r"""
        3 inches high, 1 x 2 places:
        network of p = # after epoch 14
        (a) 24 of 32 exponents | measured steps | Lyapunov exponent [nats/step] | line at y = 0
        (b) mean ± standard deviation over 10 sequences | index of exponent | Lyapunov exponent [nats/step] |
            line at y = 0
    """,
    "fig_2_3": r"""
        4.6 inches high, 2 x 6 places:
        (d) spectra | index of exponent | Lyapunov exponent [nats/step] | line at y = 0
        (e) the first 20 exponents, ± standard deviation | index of exponent | Lyapunov exponent [nats/step] |
            line at y = 0
        (a) gain #: λ₁ = −# | time [steps] | activation of a unit
        (b) gain #: λ₁ = +# | time [steps] |
        (c) gain 3: λ₁ = +# | time [steps] |
        legend in 5 columns: first input (light colours), second input (dark), stable, gain #, marginal, gain #,
            chaotic, gain 3
    """,
    "fig_2_4": r"""
        2.9 inches high, 1 x 3 places:
        network of p = # after epoch 14
        (a) no warm-up:
        early change # nats/step
        early bias # nats/step | measured steps | Lyapunov exponent [nats/step] | line at y = 0
        (b) warm-up of 100 steps:
        early change # nats/step
        early bias # nats/step | measured steps | | line at y = 0
        (c) warm-up of 250 steps:
        early change # nats/step | measured steps | | line at y = 0
    """,
    "fig_2_5": r"""
        3.4 inches high, 1 x 2 places:
        (a) full spectrum; grey: its first half | index of exponent | Lyapunov exponent [nats/step] | line at y
            = 0
        (b) first half | index of exponent | Lyapunov exponent [nats/step]
        legend in 3 columns largest change of an exponent in the first and in the second half [nats/step]:
            $T_\mathrm{ON}$ = 1, $T_\mathrm{ON}$ = 2: 1e-05 and 4e-05, $T_\mathrm{ON}$ = 5: # and #,
            $T_\mathrm{ON}$ = 10: # and #, $T_\mathrm{ON}$ = 20: # and #, $T_\mathrm{ON}$ = 50: # and 1
    """,
    "fig_2_6": r"""
        4.8 inches high, 2 x 6 places:
        (a) epoch 0: before training | index of exponent | Lyapunov exponent [nats/step] | line at y = 0
        (b) epoch 4 | index of exponent | | line at y = 0
        (c) epoch 15 | index of exponent | | line at y = 0
        (d) from epoch t − 1 to t; $\propto t^{-#}$ (median) | epoch t | mean squared change
        of exponents [nats²/step²]
        (e) relative to epoch 15 | epoch t | difference of mean
        exponent [nats/step] | line at y = 0
        legend in 7 columns: p = #, p = #, p = #, p = #, p = #, p = #, 1/t
    """,
    "fig_2_7": r"""
        5.2 inches high, 2 x 2 places:
        (a) CharRNN, 23 networks | index of exponent | Lyapunov exponent [nats/step] | line at y = 0
        (b) CharRNN: r = #, ρ = −# | LE max [nats/step] | validation loss [nats]
        (c) Mocap, 11 networks | index of exponent | Lyapunov exponent [nats/step] | line at y = 0
        (d) Mocap: r = −#, ρ = −# | LE mean [nats/step] | validation loss [MSE]
        legend in 7 columns highlighted networks, from the smallest LE max (CharRNN) or LE mean (Mocap), blue,
            to the largest, brown: blue, orange, green, red, purple, brown, other networks
    """,
    "fig_2_8": r"""
        3 inches high, 1 x 2 places:
        (a) | LE max [nats/step] | validation loss [nats]
        (b) | LE mean [nats/step] |
        legend in 9 columns highlighted networks, from the smallest LE max (CharRNN), blue, to the largest,
            brown: blue, orange, green, red, purple, brown, epoch 0, epoch 4, epoch 8
    """,
    "fig_2_b1": r"""
        11.2 inches high, 8 x 2 places:
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
        legend in 7 columns near zero: within # nats/step of it
        highlighted networks, from the smallest LE max (CharRNN) or LE mean (Mocap), blue, to the largest,
            brown: blue, orange, green, red, purple, brown, other networks
    """,
    "fig_2_b2": r"""
        2.9 inches high, 1 x 3 places:
        (a) r = #, ρ = −# | validation loss [nats] | validation accuracy
        (b) | LE max [nats/step] |
        (c) | LE mean [nats/step] |
        legend in 9 columns highlighted networks, from the smallest LE max (CharRNN), blue, to the largest,
            brown: blue, orange, green, red, purple, brown, epoch 0, epoch 4, epoch 8
    """,
    "fig_3_1": r"""
        3.4 inches high, 1 x 3 places:
        (a) after training | initialisation parameter p | validation loss [nats]
        (b) predicted at 40% of training | initialisation parameter p |
        (c) errors | RMS error on held-out networks [nats] |
        legend in 6 columns: hidden size 16, hidden size 24, hidden size 32, hidden size 48, one seed, mean over
            seeds
    """,
    "fig_3_2": r"""
        3 inches high, 1 x 2 places:
        (a) ε = #, γ = #: 6 networks | real part of eigenvalue | imaginary part of eigenvalue
        (b) ε = 1, γ = #: 6 networks | real part of eigenvalue | imaginary part of eigenvalue
        | | validation loss [nats]
    """,
    "fig_3_3": r"""
        3 inches high, 1 x 2 places:
        (a) ε = #, γ = #: 6 networks | index of exponent | Lyapunov exponent [nats/step] | line at y = 0
        (b) ε = 1, γ = #: 6 networks | index of exponent | Lyapunov exponent [nats/step] | line at y = 0
        | | validation loss [nats]
    """,
    "fig_3_4": r"""
        3 inches high, 1 x 2 places:
        (a) mean ± standard deviation over 2 seeds | epoch of PredNet's training | validation mean square error
            [nats²] | line at y = #
        (b) difference, with 95% interval | error, eigenvalues − spectra [nats²] | | line at x = 0
        legend in 3 columns: Jacobian eigenvalues, Lyapunov spectra, mean of the training networks
    """,
    "fig_3_5": r"""
        3.2 inches high, 1 x 3 places:
        (a) features of a spectrum | index of exponent | Lyapunov exponent [nats/step] | line at y = 0
        legend in 1 columns: coRNN, maximum #, initial slope −#, final slope −#, 16 above zero
        (b) before training | index of exponent | Lyapunov exponent [nats/step] | line at y = 0
        (c) after training | index of exponent | | line at y = 0
        legend in 5 columns: RNN, LSTM, GRU, ASRNN, coRNN, Lipschitz RNN, Noisy RNN, LEM
    """,
    "fig_3_6": r"""
        3 inches high, 1 x 2 places:
        (a) the autoencoder | |
        (b) 21 test networks, first of 2 seeds: F1 # | AeLLE PC1 | AeLLE PC2 | line at x = #
        legend in 2 columns: predicted low error, high error, low error, median of PC1
    """,
    "fig_3_7": r"""
        3.1 inches high, 2 x 3 places:
        (a) last period of free runs | time step |
        legend in 2 columns: target, free run
        | AeLLE PC1 | AeLLE PC2 | line at x = #
        legend in 2 columns: high error, low error, median of PC1
        (b) 21 test networks, first of 2 seeds | | networks | line at x = #
        (c) all 63 networks | AeLLE PC1 | AeLLE PC2 | line at x = #
        legend in 4 columns: g #, g #, g #, g #, g #, g #, g #, g #, g #, g 2
    """,
    "fig_3_8": r"""
        3.1 inches high, 2 x 3 places:
        (a) an input and its target | characters, row by row |
        | AeLLE PC1 | AeLLE PC2 | line at x = #
        legend in 2 columns: high error, low error, median of PC1
        (b) 21 test networks, first of 2 seeds | | networks | line at x = #
        (c) all 63 networks | AeLLE PC1 | AeLLE PC2 | line at x = #
        legend in 2 columns: hidden size 16, hidden size 24, hidden size 32, hidden size 48
    """,
    "fig_3_9": r"""
        5.6 inches high, 3 x 3 places:
        (a) an input; its label: 3 | input feature (column) | time step (row)
        | AeLLE PC1 | AeLLE PC2 | line at x = #
        legend in 2 columns: high error, low error, median of PC1
        (b) 21 test networks, first of 2 seeds | | networks | line at x = #
        (c) all 63 networks | AeLLE PC1 | AeLLE PC2 | line at x = #
        legend in 3 columns: RNN, LSTM, GRU, ASRNN, coRNN, Lipschitz RNN, Noisy RNN, LEM
        (d) the 6 networks in the box of (c) | AeLLE PC1 | AeLLE PC2
    """,
    "fig_3_10": r"""
        2.5 inches high, 1 x 4 places:
        21 test networks, first of 2 seeds
        (a) 0% of training:
        F1 # | AeLLE PC1 | AeLLE PC2 | line at x = #
        (b) 10% of training:
        F1 # | AeLLE PC1 | | line at x = #
        (c) 20% of training:
        F1 # | AeLLE PC1 | | line at x = #
        (d) 50% of training:
        F1 # | AeLLE PC1 | | line at x = #
        legend in 4 columns: predicted low error, high error, low error, threshold of best F1 (training part)
    """,
    "fig_3_11": r"""
        6.8 inches high, 4 x 4 places:
        21 test networks, first of 2 seeds
        (a) 0% of training | LE mean [nats/step] | networks | line at x = 0
        (b) 10% of training | LE mean [nats/step] | | line at x = 0
        (c) 20% of training | LE mean [nats/step] | | line at x = 0
        (d) 50% of training | LE mean [nats/step] | | line at x = 0
        (e) | LE max [nats/step] | networks | line at x = #
        (f) | LE max [nats/step] | | line at x = #
        (g) | LE max [nats/step] | | line at x = #
        (h) | LE max [nats/step] | | line at x = #
        (i) | LE PC1 [nats/step] | networks | line at x = #
        (j) | LE PC1 [nats/step] | | line at x = #
        (k) | LE PC1 [nats/step] | | line at x = #
        (l) | LE PC1 [nats/step] | | line at x = #
        (m) | AeLLE PC1 | networks | line at x = #
        (n) | AeLLE PC1 | | line at x = #
        (o) | AeLLE PC1 | | line at x = #
        (p) | AeLLE PC1 | | line at x = #
        legend in 3 columns: low error, high error, threshold of best F1 (training part)
    """,
    "fig_3_12": r"""
        3 inches high, 1 x 3 places:
        (a) spectra | index of exponent | Lyapunov exponent [nats/step] | line at y = 0
        (b) AeLLE, first of 2 seeds | AeLLE PC1 | AeLLE PC2 | line at x = #
        (c) final loss | validation loss [nats] | architecture | line at x = #
        legend in 6 columns: RNN, LSTM, GRU, ASRNN, coRNN, Lipschitz RNN, Noisy RNN, LEM, all networks, median
            of PC1, median loss of all networks
    """,
    "fig_3_13": r"""
        3.3 inches high, 1 x 2 places:
        Test networks: reconstruction error # nats/step (median spectrum: #), R² of the predicted loss #
        (a) all 63 networks, first of 2 seeds | AeLLE PC1 | AeLLE PC2
        legend in 4 columns: RNN, LSTM, GRU, ASRNN, coRNN, Lipschitz RNN, Noisy RNN, LEM
        (b) test networks, predicted loss changed by ΔT [nats] | AeLLE PC1 | AeLLE PC2
        legend in 3 columns: ΔT = −#, ΔT = −#, ΔT = 0, ΔT = +#, ΔT = +#
    """,
    "fig_3_14": r"""
        4.1 inches high, 2 x 4 places:
        Lyapunov exponent [nats/step]
        spectra decoded after a change ΔT of the predicted loss [nats], first of 2 seeds
        Test networks: reconstruction error # nats/step (median spectrum: #), R² of the predicted loss #
        (a) RNN | | | line at y = 0
        (b) LSTM | | | line at y = 0
        (c) GRU | | | line at y = 0
        (d) ASRNN | | | line at y = 0
        (e) coRNN | index of exponent | | line at y = 0
        (f) Lipschitz RNN | index of exponent | | line at y = 0
        (g) Noisy RNN | index of exponent | | line at y = 0
        (h) LEM | index of exponent | | line at y = 0
        legend in 8 columns: measured, ΔT = −#, ΔT = −#, ΔT = 0, ΔT = +#, ΔT = +#
    """,
    "fig_3_15": r"""
        3.3 inches high, 1 x 2 places:
        Test networks: reconstruction error # nats/step (median spectrum: #), R² of the predicted loss #
        (a) all 63 networks, first of 2 seeds | AeLLE PC1 | AeLLE PC2
        (b) 10 decoded spectra of predicted loss zero | index of exponent | Lyapunov exponent [nats/step] | line
            at y = 0
        legend in 5 columns: RNN, LSTM, GRU, ASRNN, coRNN, Lipschitz RNN, Noisy RNN, LEM, predicted loss zero
    """,
    "fig_3_b1": r"""
        2.7 inches high, 1 x 3 places:
        21 test networks, first of 2 seeds
        (a) F1 # (mean), # (max) | LE mean [nats/step] | LE max [nats/step] | line at x = 0 | line at y = #
        (b) F1 # | LE PC1 [nats/step] | LE PC2 [nats/step] | line at x = #
        (c) F1 # | AeLLE PC1 | AeLLE PC2 | line at x = #
        legend in 3 columns: high error, low error, median (training part)
    """,
    "fig_3_b4": r"""
        6.8 inches high, 3 x 3 places:
        (a) Target learning
        21 test networks, first of 2 seeds
        F1 # (mean), # (max) | LE mean [nats/step] | LE max [nats/step] | line at x = 0 | line at y = #
        (b) CharRNN
        21 test networks, first of 2 seeds
        F1 # (mean), # (max) | LE mean [nats/step] | LE max [nats/step] | line at x = 0 | line at y = #
        (c) SMNIST
        21 test networks, first of 2 seeds
        F1 # (mean), # (max) | LE mean [nats/step] | LE max [nats/step] | line at x = 0 | line at y = #
        (d) F1 # | LE PC1 [nats/step] | LE PC2 [nats/step] | line at x = #
        (e) F1 # | LE PC1 [nats/step] | LE PC2 [nats/step] | line at x = #
        (f) F1 # | LE PC1 [nats/step] | LE PC2 [nats/step] | line at x = #
        (g) F1 # | AeLLE PC1 | AeLLE PC2 | line at x = #
        (h) F1 # | AeLLE PC1 | AeLLE PC2 | line at x = #
        (i) F1 # | AeLLE PC1 | AeLLE PC2 | line at x = #
        legend in 3 columns: high error, low error, median (training part)
    """,
    "fig_extra_pruning": r"""
        3 inches high, 1 x 2 places:
        (a) pools of 8, 16, 32 networks | total training [epochs] | final loss of the best network [nats]
        (b) training for the same loss | networks in the pool | training relative to full training | line at y =
            1
        legend in 3 columns: full training of all networks, halving by AeLLE's prediction, halving by
            architecture, halving by loss so far, halving by chance, halving by AeLLE, including its training
            networks
    """,
    "fig_4_1": r"""
        6.6 inches high, 4 x 3 places:
        first 4 vectors
        dissertation (128 units): #, # | | small weights
        Q of Jᵀ Q (eq. #)
        right singular vectors
        density
        last 4 vectors
        dissertation (128 units): #, # | |
        random 4 vectors
        dissertation (128 units): #, # | |
        | | uniform weights
        Q of Jᵀ Q (eq. #)
        right singular vectors
        density
        | | small weights
        Q of J Q
        left singular vectors
        density
        | alignment with the first 2 | uniform weights
        Q of J Q
        left singular vectors
        density
        | alignment with the first 2 |
        | alignment with the first 2 |
        legend in 3 columns: epoch 0, epoch 5, random frames, σ = #
    """,
    "fig_4_2": r"""
        6.6 inches high, 4 x 4 places:
        first 2 singular
        vectors, epoch 0 | | small weights
        Q of Jᵀ Q (eq. #)
        right singular vectors
        σ of alignment | line at y = #
        first 2 singular
        vectors, epoch 5 | | | line at y = #
        last 2 singular
        vectors, epoch 0 | | | line at y = #
        last 2 singular
        vectors, epoch 5 | | | line at y = #
        | | uniform weights
        Q of Jᵀ Q (eq. #)
        right singular vectors
        σ of alignment | line at y = #
        | | | line at y = #
        | | | line at y = #
        | | | line at y = #
        | | small weights
        Q of J Q
        left singular vectors
        σ of alignment | line at y = #
        | | | line at y = #
        | | | line at y = #
        | | | line at y = #
        | index of Q vector | uniform weights
        Q of J Q
        left singular vectors
        σ of alignment | line at y = #
        | index of Q vector | | line at y = #
        | index of Q vector | | line at y = #
        | index of Q vector | | line at y = #
        legend in 4 columns: random frames, 1/√H, step 1, step 3, step 5
    """,
    "fig_4_3": r"""
        2.8 inches high, 1 x 2 places:
        (a) one input | step | log R [nats/step] | line at y = 0
        legend in 1 columns: log of first R value, first finite-time exponent
        (b) in descending order | rank of the step | mean log R [nats/step] | line at y = 0
        legend in 1 columns: first R value, mean of the first 3
    """,
    "fig_4_4": r"""
        3.2 inches high, 1 x 2 places:
        (a) each image of the dissertation's test | number of flipped pixels | increase of the loss [nats] |
            line at y = 0
        (b) means ± standard error over images | number of flipped pixels | increase of the loss [nats] | line
            at y = 0
        legend in 4 columns: largest R value, random, largest R, warm-up, largest R of Jᵀ Q, largest R of Jᵀ Q,
            warm-up, largest mean log R, largest gradient, brightest
    """,
    "fig_4_5": r"""
        4 inches high, 2 x 3 places:
        (a) digit 0 | |
        (b) 4 flips, largest R | |
        (c) | | output | line at y = 0
        (d) digit 1 | |
        (e) 4 flips, largest R | |
        (f) | digit | output | line at y = 0
        legend in 3 columns: original image, flipped at the largest R values, random flips, draw 1, random
            flips, draw 2
    """,
    "fig_4_b1": r"""
        4 inches high, 2 x 3 places:
        (a) training | epoch | training loss [nats] | line at x = 0 | line at x = # | line at x = # | line at x
            = 1 | line at x = 2
        (b) epoch 0 | step | participation ratio
        (c) epoch # | step |
        (d) epoch # | step | participation ratio
        (e) epoch 1 | step |
        (f) epoch 2 | step |
        legend in 2 columns: small weights, uniform weights
    """,
    "fig_4_c2": r"""
        6.6 inches high, 4 x 3 places:
        first 4 vectors | | small weights
        Q of Jᵀ Q (eq. #)
        right singular vectors
        density
        last 4 vectors | |
        random 4 vectors | |
        | | uniform weights
        Q of Jᵀ Q (eq. #)
        right singular vectors
        density
        | | small weights
        Q of J Q
        left singular vectors
        density
        | alignment with the last 2 | uniform weights
        Q of J Q
        left singular vectors
        density
        | alignment with the last 2 |
        | alignment with the last 2 |
        legend in 3 columns: epoch 0, epoch 5, random frames, σ = #
    """,
    "fig_4_d": r"""
        7.4 inches high, 4 x 3 places:
        (a) digit 2 | |
        (b) 4 flips, largest R | |
        (c) | | output | line at y = 0
        (d) digit 3 | |
        (e) 4 flips, largest R | |
        (f) | | output | line at y = 0
        (g) digit 4 | |
        (h) 4 flips, largest R | |
        (i) | | output | line at y = 0
        (j) digit 5 | |
        (k) 4 flips, largest R | |
        (l) | digit | output | line at y = 0
        legend in 3 columns: original image, flipped at the largest R values, random flips, draw 1, random
            flips, draw 2
    """,
    "fig_extra_clv_alignment": r"""
        12.2 inches high, 8 x 3 places:
        first 4 vectors | | small weights
        Q of J Q, settled
        left singular vectors
        density
        last 4 vectors | |
        random 4 vectors | |
        | | uniform weights
        Q of J Q, settled
        left singular vectors
        density
        | | small weights
        Q of J Q, settled
        right singular vectors
        density
        | | uniform weights
        Q of J Q, settled
        right singular vectors
        density
        | | small weights
        covariant vectors
        left singular vectors
        density
        | | uniform weights
        covariant vectors
        left singular vectors
        density
        | | small weights
        covariant vectors
        right singular vectors
        density
        | alignment with the first 2 | uniform weights
        covariant vectors
        right singular vectors
        density
        | alignment with the first 2 |
        | alignment with the first 2 |
        legend in 3 columns: epoch 0, epoch 5, random frames, σ = #
    """,
    "fig_extra_flip_comparisons": r"""
        3.2 inches high, 1 x 3 places:
        (a) random pixels | number of flipped pixels | excess of the loss [nats] | line at y = 0
        (b) pixels ranked in other images | number of flipped pixels | | line at y = 0
        (c) random pixels, later steps only | number of flipped pixels | | line at y = 0
        legend in 4 columns: largest R value, largest R, warm-up, largest R of Jᵀ Q, largest R of Jᵀ Q, warm-up,
            largest mean log R, largest gradient, brightest
    """,
}
SAID |= dict.fromkeys(("fig_3_b2", "fig_3_b3"), SAID["fig_3_b1"])
