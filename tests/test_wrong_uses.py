"""Wrong uses: a message is a feature. Each says in one paragraph what was given, what is valid and what to do, and writes nothing.

A line of the table is a command and three pieces of its message: the very word that was given | what is valid | what to do.
"""

import os
import re
import shlex
import shutil
import socket
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import gander
import tiny
from gander import cli, kinds, training
from gander.cli.options import app

TABLE = """
smaple run | 'smaple' | sample, edit, | Did you mean 'sample'
nosuch | 'nosuch' | train, list | See gander --help
--nosuch | '--nosuch' | train, list | See gander --help
'' | '' | value | leave it out

train infogn | 'infogn' | acgan, acgan-infogan, cgan | Did you mean 'infogan'
train . | '.' | acgan, acgan-infogan | given with its ending, as my.toml
train one.png | 'one.png' | acgan, acgan-infogan | given with its ending, as my.toml
train nosuch.toml | 'nosuch.toml' | infogan, infogan-axes | Give a file
train gan extra | 'extra' | gander train takes PRESET and options | Leave it out
train gan --imags 5 | '--imags' | --out, --images, --minutes | Did you mean '--images'
train gan --no-new | '--no-new' | --set, --new | Did you mean '--new'
train gan --new=5 | '5' | takes no value | write --new alone
train gan --seed 1 --seed 2 | --seed | one value | give it once
train gan --images | --images | real images | give one
train --seed | --seed | Everything random | give one
train gan --seeds 3-1 | '3-1' | rising ranges | --seeds 0,1,4-6
train gan --seeds 0-2 --seed 1 | --seed | for each seed | drop
train gan --seeds 0-2 --at-once 0 | 0 | 1 or more | --at-once 2
train gan --at-once 2 | --at-once | how many seeds | --seeds 0-9
train gan --devices 0 | 0 | from 1 to 1,024 | --devices 2
train gan --devices 5000 | 5000 | from 1 to 1,024 | --devices 2
train gan --devices two | 'two' | whole number | --devices 2
train --seed x | 'x' | whole number | --seed 7
train --seed 1.5 | '1.5' | whole number | --seed 7
train gan --seed -1 | -1 | whole number from 0 to | seed=0
train gan --seed 99999999999999999999 | 99,999,999,999,999,999,999 | whole number from 0 to | write
train --seed '' | '' | value | leave it out
train --images 0 | given 0 | at least 1 | --images 200000
train --images -5 | -5 | at least 1 | --images 200000
train --images 1.5 | 1.5 | whole number | --images 200000
train --images inf | inf | whole number | --images 200000
train --images nan | nan | whole number | --images 200000
train --images many | 'many' | number | --images 200000
train --minutes 0 | given 0 | more than 0 | --minutes 30
train --minutes -1 | -1 | more than 0 | --minutes 30
train --minutes nan | nan | more than 0 | --minutes 30
train --minutes soon | 'soon' | number | --minutes 30
train gan --new --roll-back | --roll-back | a run that is there | drop one

train gan --set batch | 'batch' | key=value | --set batch=64
train gan --set =1 | '=1' | key=value | --set batch=64
train gan --set btach=5 | 'btach' | gander list settings | Did you mean 'batch'
train gan --set training.btach=5 | 'training.btach' | gander list settings | Did you mean 'training.batch'
train gan --set trainin.batch=5 | 'trainin' | game, optimiser, training | Did you mean 'training'
train gan --set training=5 | 'training' | batch, seed | Set one of them
train gan --set batch= | '' | from 2 to 65,536 | batch=128
train gan --set batch=1 | given 1; | from 2 to 65,536 | batch=128
train gan --set batch=1e9 | 1,000,000,000 | from 2 to 65,536 | batch=128
train gan --set batch=many | 'many' | whole number from 2 | batch=128
train gan --set batch=nan | nan | whole number from 2 | batch=128
train gan --set batch=true | true | whole number from 2 | batch=128
train gan --set batch=[1] | [1] | whole number from 2 | batch=128
train gan --set width=-1 | -1 | from 0 to 4,096 | width=0
train gan --set data.size=1000 | 1,000 | from 0 to 512 | size=0
train gan --set channels=7 | given 7 | from 0 to 4 | channels=0
train gan --set critic_rate=-1 | -1 | 0 or more | critic_rate=0.0004
train gan --set critic_rate=fast | 'fast' | number | critic_rate=0.0004
train gan --set critic_rate=nan | nan | number | critic_rate=0.0004
train gan --set critic_rate=inf | inf | number | critic_rate=0.0004
train gan --set beta1=1 | given 1 | from 0 to 0.9999 | beta1=0.5
train gan --set tensorboard=yes | 'yes' | true or false | tensorboard=true
train gan --set tensorboard=5 | given 5 | true or false | tensorboard=true
train gan --set precision=fp8 | 'fp8' | auto, fp32, bf16 | Valid
train gan --set precision=3 | '3' | auto, fp32, bf16 | Valid
train gan --set schedule=altrnate | 'altrnate' | alternate, reuse, one-stage | Did you mean 'alternate'
train gan --set objective=hing | 'hing' | hinge, wasserstein | Did you mean 'hinge'
train gan --set backbone=dcgn | 'dcgn' | dcgan, maxout, mlp | Did you mean 'dcgan'
train gan --set critic_norm=bach | 'bach' | auto, batch, spectral, none | Did you mean 'batch'
train gan --set recogniser=heds | 'heds' | critic, heads, joint | Did you mean 'heads'
train gan --set contrast=-1 | -1 | 0 or more | contrast=0.0
train gan --data squares.npz --set batch=16 contrast=1 | has 0 (none) | two or more | give it two
train gan --set contrast_from=2 | given 2 | from 0 to 1 | contrast_from=0.0
train gan --set contrast_gap=1 | given 1 | from 0 to 0.99 | contrast_gap=0.0
train gan --set best=5 | given 5 | text | best='5'
train gan --set evaluate_n=5 | given 5 | from 20 to 1,000,000 | evaluate_n=2000

train infogan --set c1.recogised=1 | 'recogised' | given, shown, recognised | Did you mean 'recognised'
train infogan --set c1.recognised=-1 | -1 | 0 or more | recognised=0.1
train infogan --set c1.recognised=high | 'high' | 0 or more | recognised=0.1
train infogan --set c1.recognised=nan | nan | 0 or more | recognised=0.1
train infogan --set c1.size=0 | given 0 | from 1 to 100,000 | give one
train infogan --set c1.size=big | 'big' | from 1 to 100,000 | give one
train infogan --set c1.shown=5 | given 5 | word | write it in quotes
train infogan --set c1.low=left | 'left' | uniform(-1,1) | give numbers
train infogan --set c1=3 | 'c1' | given, shown, recognised | set what is asked of it
train infogan --set c9.size=2 | 'c9' | noise, category, c1, c2 | Valid
train infogan --set codes.c9.size=2 | 'c9' | noise, category, c1, c2 | Valid
train gan --set codes= | no codes | at least one | add noise
train gan --set codes=noise | 'noise' | NAME:KIND(SIZE) | write
train gan --set codes=:gaussian(3) | '' | letters, digits | call it
train gan --set 'codes=n:gaussian(2) 1c:uniform' | '1c' | beginning with a letter | call it
train gan --set codes=noise:gausian(3) | 'gausian(3)' | gaussian, uniform, categorical | Did you mean 'gaussian'
train gan --set codes=noise:gaussian(0) | given 0 | from 1 to 100,000 | gaussian(10)
train gan --set codes=noise:gaussian(-3) | -3 | from 1 to 100,000 | gaussian(10)
train gan --set codes=noise:gaussian(2.5) | 2.5 | whole number | gaussian(62)
train gan --set codes=noise:gaussian(many) | many | numbers | gaussian(62)
train gan --set codes=noise:gaussian(nan) | nan | whole number | gaussian(62)
train gan --set codes=noise:gaussian(99999999999999999999) | 100000000000000000000 | 100,000 | gaussian(10)
train gan --set 'codes=noise:gaussian(62' | 'gaussian(62' | KIND(SIZE) | gaussian(62)
train gan --set 'codes=n:gaussian(2) n:uniform' | 'n' | of its own | give each
train gan --set 'codes=n:gaussian(2) digit:given' | 'digit' | recognised | add shown
train gan --set 'codes=n:gaussian(2) digit:shown' | 'digit' | COLUMN | add given
train gan --set 'codes=n:gaussian(2) digit:given,shown=concat,recognised' | 'digit' | 'projection' | show it by
train gan --set 'codes=n:gaussian(2) a:given=label,shown=concat b:given=label,recognised' | 'b' | 'projection' | show it by
train gan --set 'codes=n:gaussian(2) digit:given,shown=everywhere' | 'everywhere' | projection, hidden, concat, multiply, embed | Valid
train gan --set 'codes=n:gaussian(2) digit:given,fed=multply,recognised' | 'multply' | concat, multiply | Did you mean 'multiply'
train gan --set 'codes=n:gaussian(2) digit:given,recognised=-2' | -2 | 0 or more | recognised=0.1
train gan --set 'codes=n:gaussian(2) digit:given,recognised=lots' | 'lots' | 0 or more | recognised=0.1
train gan --set 'codes=n:gaussian(2) c:categorical(1),recognised' | given 1 | from 2 to | categorical(10)
train gan --set 'codes=n:gaussian(2) c:categorical,recognised' | 'c' | whole number | categorical(10)
train gan --set 'codes=n:gaussian(2) c:categorical(0.5,0.2),recognised' | 0.7 | from 0 to 1 | give them
train gan --set 'codes=n:gaussian(2) c:binary(0.5,2),recognised' | 2.0 | from 0 to 1 | give them
train gan --set 'codes=n:gaussian(2) c:uniform(1,-1),recognised' | 1 and -1 | low number to a higher | uniform(-1,1)
train gan --set 'codes=n:gaussian(2) c:uniform(0,inf),recognised' | inf | low number to a higher | uniform(-1,1)
train infogan --set c1.low=-1e308 c1.high=1e308 | -1e+308 | within ±1e+30 | uniform(-1,1)
train infogan --set c1.low=1e9 c1.high=1000000001 | 1000000001 | apart in single precision | uniform(-1,1)
train gan --set 'codes=n:gaussian(2) c:recognised' | 'c' | gaussian, uniform, categorical | give it
train gan --set codes=digit:given,shown | normalisation | noise | add noise
train gan --set codes=digit:given,shown,fed=multiply | 'multiply' | noise | add noise
train gan --data squares.npz --set batch=16 'codes=n:gaussian(2) a:given=b,shown' | 'b' | label, slant | Valid
train gan --data squares.npz --set batch=16 'codes=n:gaussian(2) a:given=label,shown,uniform' | uniform | categorical | leave the kind out
train gan --data squares.npz --set batch=16 'codes=n:gaussian(2) a:recognised,frequencies=slant' | 'slant' | classes | name one
train infogan-lsgan --data squares.npz --set batch=16 'codes=n:gaussian(2) a:given=label,recognised' | 'a' | learns=both | set a.learns

train section.toml | 'trainin' | model, game | Did you mean 'training'
train key.toml | 'batsh' | images, batch | Did you mean 'batch'
train type.toml | 'many' | from 2 to 65,536 | batch=128
train nocodes.toml | none | [codes.NAME] | add [codes.noise]
train syntax.toml | syntax.toml | batch = 64 | Correct
train preset.toml | 'infogn' | cgan-multiply, dcgan | Did you mean 'infogan'
train flat.toml | given 5 | table | write [training]
train codes.toml | given 5 | table | write [codes.noise]
train word.toml | given 3 | table | write [codes.noise]
train kind.toml | 'gausian' | gaussian, uniform | Did you mean 'gaussian'
train binary.toml | binary.toml | UTF-8 | save it

train gan --data nosuch | 'nosuch' | cifar10, digits | give a folder
train gan --data glyhps | 'glyhps' | glyphs, letters | Did you mean 'glyphs'
train gan --data glyphs:tset | 'tset' | train, test, all | Did you mean 'test'
train gan --data squares.npz:tset | 'tset' | train, test, all | Did you mean 'test'
train gan --data empty | empty | sub-folder for each class | Give a folder
train gan --data one | 'one' | at least two | Add more
train gan --data notes.txt | notes.txt | .npz | Give a folder
train gan --data one.png | one.png | .npz | Give a folder
train gan --data model.pt | model.pt | .npz | Give a folder
train gan --data run | run is a run | gander list data | Give images
train gan --data cut.npz | cut.npz | .npz | Write it again
train gan --data floats.npz | float32 | uint8 (0 to 255) | must be uint8
train gan --data csv-gone | nope.png | file | Give the images' paths
train gan --data csv-columns | 'a' | file | Give the images' paths
train gan --data csv-ragged | 3 cells | 2 headers | give every line
train gan --data csv-empty | labels.csv is empty | columns | must name the columns
train gan --data squares.npz --set batch=64 | 64 | 40 images | --set batch=32
train dcgan --data small.npz --set batch=16 | 6 x 6 | 16 to 64 px | data.size=16
train gan --data squares.npz --set batch=16 critic_norm=batch | is batch | auto, spectral or none | give auto
train cgan --data same.npz --set batch=16 | 'same.npz' | gan, dcgan, infogan | train a preset
train infogan-lsgan --data same.npz --set batch=16 | 'same.npz' | gan, dcgan, infogan | train a preset
train acgan --data bare.npz --set batch=16 | 'label' | sub-folder | put each class
train gan --data squares.npz --set batch=16 best=frechet | frechet | evaluation | add --set evaluate_images
train gan --data squares.npz --set batch=16 best=frchet evaluate_images=32 | 'frchet' | gander list metrics | Did you mean 'frechet'
train gan --data squares.npz --set batch=16 best=r2/c9 evaluate_images=32 | 'c9' | label, slant | Valid
train gan --data squares.npz --set batch=16 evaluate_metrics=frchet evaluate_images=32 | 'frchet' | gander list metrics | Did you mean 'frechet'
train gan --device tpu | 'tpu' | cpu | give cpu
train gan --device cuda:99 | 'cuda:99' | cpu | give cpu
train gan --data squares.npz --set batch=16 --out notes.txt | notes.txt | empty, new, or a run | give a folder
train gan --data squares.npz --set batch=16 --out one | 'one' | empty, new, or a run | give a folder
train gan --data squares.npz --set batch=16 --out run | codes.c1.kind: uniform | same command | add --new
train gan --data squares.npz --set batch=16 --out newer | schema 9 | reads up to 3 | install
train gan --data squares.npz --set batch=16 --out wrecked | wrecked/config.toml | another run | Correct it
train gan --data squares.npz --set batch=16 --out edited | edited/config.toml: optimiser.critic_rate | given nan | write for example
train gan --data squares.npz --set batch=16 --roll-back | runs/00000-gan-squares-s0 | best=frechet | Train it first

sample | RUN | run directory | give a run
sample nosuch | 'nosuch' | gander train | Give a folder
sample 7 | '7' | its number | Give a folder
sample one | one | weights/averaged.safetensors | Give a run
sample empty | empty | weights/averaged.safetensors | Give a run
sample young | young | weights/averaged.safetensors | train this one
sample newer | schema 9 | reads up to 3 | install
sample wrecked | wrecked/weights | .safetensors | Give a run
sample notes.txt | notes.txt | .safetensors | Give a run
sample one.png | one.png | .safetensors | Give a run
sample model.pt | model.pt | .safetensors | Give a run
sample model.ckpt | model.ckpt | .safetensors | Give a run
sample model.onnx | model.onnx | ONNX Runtime | give gander the run
sample stranger.safetensors | stranger.safetensors | weights folder | give a run
sample run/weights/critic.safetensors | critic.safetensors | averaged.safetensors | Give
sample run/state/state.safetensors | 'shape' | averaged.safetensors | Give a run
sample named | names.json | line 1 | correct it
sample run extra | 'extra' | RUN and options | Leave it out
sample run label=3 | 'label=3' | RUN and options | Did you mean --set label=3
sample run --n 0 | given 0 | from 1 to 1,000,000 | --n 64
sample run --n -3 | -3 | from 1 to 1,000,000 | --n 64
sample run --n 2.5 | '2.5' | whole number | --n 64
sample run --n many | 'many' | whole number | --n 64
sample run --n 99999999999 | 99,999,999,999 | from 1 to 1,000,000 | --n 64
sample run --n 3 --n 4 | --n | one value | give it once
sample run --seed 1.5 | '1.5' | whole number | --seed 7
sample run --seed 999999999999999999999999 | 999999999999999999999999 | below 2^48 | --seed 7
sample run --seeds 1,x | '1,x' | numbers from 0 | --seeds 0,1,4-6
sample run --seeds 5-1 | '5-1' | rising ranges | --seeds 0,1,4-6
sample run --seeds -1 | '-1' | numbers from 0 | --seeds 0,1,4-6
sample run --seeds 0-99999999999 | '0-99999999999' | at most 1,000,000 | give fewer
sample run --set label | 'label' | code=value | --set label=1
sample run --set lable=1 | 'lable' | label, c1, c2, c3 | Did you mean 'label'
sample run --set label=nine | 'nine' | (0, 1, 2, 3) | Valid
sample run --set label=7 | '7' | index from 0 to 3 | Valid
sample run --set label=-1 | '-1' | index from 0 to 3 | Did you mean '1'
sample run --set label= | '' | index from 0 to 3 | Valid
sample run --set label.2=1 | '2' | one class | set label itself
sample run --set c1=left | 'left' | between -1 and 1 | give a number
sample run --set c1=nan | 'nan' | between -1 and 1 | give a number
sample run --set c1.5=1 | '5' | one number | set c1 itself
sample run --set c1=1,2,3 | '1,2,3' | give a number | --film FILE.gif
sample plain --set digit=3 | 'digit' | its only input is noise | Train a cgan
sample plain --sweep c1 | 'c1' | its only input is noise | Train a cgan
sample plain --sweep all | all | slider | train a model
sample run --sweep labels | 'labels' | label, c1, c2, c3 | Did you mean 'label'
sample run --sweep c1=a:b | 'a' | between -1 and 1 | give a number
sample run --sweep c1=-1:1:0 | 'c1=-1:1:0' | up to 1000 | --sweep c1=-1:1:9
sample run --sweep c1=-1:1:999999 | 'c1=-1:1:999999' | up to 1000 | --sweep c1=-1:1:9
sample run --sweep c1=-1:1:many | 'c1=-1:1:many' | code=a:b:n | --sweep c1=-1:1:9
sample run --sweep label=0:9 | '9' | index from 0 to 3 | Valid
sample run --sweep c1 --sweep c1 | c1, c1 | two different | give each once
sample run --sweep c1 --set c1=1 | c1 | set and swept | drop the --set
sample run --sweep all --out x.npz | all | FILE.png | give --out
sample run --sweep label=0:3:9 | given 9 | there are 4 values | --sweep label=0:3
sample run --seeds 0,1 --seed 5 | --seeds 0,1 | --seed 5 | give --seeds alone
sample run --seeds 0,1 --n 5 | --seeds 0,1 | --n 5 | give --seeds alone
sample run --sweep c1 --sheet 3x2 | --sheet 3x2 | layout of its own | drop --sheet
sample run --sweep c1 --n 100000 | 100000 images | too large | give fewer rows (--n)
sample run --sweep c1 --sweep c2 --n 5 | --n 5 | rows are swept | drop --n
sample run --sweep all --sweep c1 | --sweep all | stands alone | drop the others
sample run --out flat | flat is a file | .png or .npz | give a folder
sample run --sheet 3x2 --out x.npz | --sheet 3x2 | x.npz holds arrays | drop --sheet
sample run --out run/weights/sheet.png | run/weights/sheet.png | keeps what it needs | give another file
sample run --sheet 3 | '3' | COLUMNSxROWS | --sheet 8x12
sample run --sheet 0x4 | '0x4' | from 1 to 999 | --sheet 8x12
sample run --sheet 999x999 | 999 x 999 | or smaller | give --sheet
sample run --out x.jpg | x.jpg | .png or .npz | give a file
sample run --out notes.txt | notes.txt | .png or .npz | give a file
sample run --device tpu | 'tpu' | cpu | give cpu
sample run --fps 5 | --fps | for films | add --film
sample run --once | --once | for films | add --film
sample run --film x.avi | '.avi' | .gif, .mp4, .webp, .png | Give FILE.gif
sample run --film x.gif --n 4 | --n | --seeds 0,1,4-6 | takes --seeds
sample run --film x.gif --out x.png | --out | a picture or --film | give --out
sample run --film x.gif --seeds 0 | --seeds | two stations | give --seeds
sample run --film x.gif --seeds 0,1 --fps 0 | given 0 | from 1 to 50 | --fps 20
sample run --film x.gif --seeds 0,1 --fps fast | 'fast' | number | --fps 20
sample run --film x.gif --seeds 0,1 --seconds -1 | -1 | above 0 and at most 3,600 | --seconds 2
sample run --film x.gif --sweep c1 --sweep c2 | --sweep | one code | give --out
sample run --film x.gif --sweep c1 --set c1=1 | c1 | set and swept | drop the --set
sample run --film notes.txt/x.gif --seeds 0,1 | notes.txt/x.gif | yours to write in | give a file
sample run --film x.gif --progress nosuch | nosuch | two grids or more | report.sample_images

read | RUN | recogniser | give a run
read run | --data | SRC[:split] | give what to read
read run one.png --data squares.npz | --data | image files | give what to read
read plain one.png | GAN | infogan or acgan | train one
read cond one.png | CGAN | infogan or acgan | train one
read run/weights/averaged.safetensors one.png | only the generator | critic.safetensors | give the run
read run nosuch.png | 'nosuch.png' | image file | Give an image
read run notes.txt | 'notes.txt' | PNG or JPEG | give an image
read run broken.png | 'broken.png' | PNG or JPEG | give an image
read run --data squares.npz --out squares.npz | squares.npz | would be replaced | give another file
read run one.png --out x.txt | x.txt | .npz or .csv | give a file
read run one.png --out notes.txt/x.csv | notes.txt/x.csv | yours to write in | give a file
read run one.png --device tpu | 'tpu' | cpu | give cpu
read run --data empty | empty | sub-folder | Give a folder
read run --data squares.npz --sheets notes.txt | notes.txt | folder | give a folder

edit run | IMAGE | image file | give an image
edit run nosuch.png | 'nosuch.png' | mnist:test#17 | Give an image
edit run squares.npz | 'squares.npz' | squares.npz#0 | say which one
edit run squares.npz#99 | #99 | #0 to #39 | give one of them
edit run one.png two.png | 'two.png' | RUN IMAGE and options | Leave it out
edit run one.png --set c9=1 | 'c9' | label, c1, c2, c3 | Valid
edit run one.png --set label=9 | '9' | index from 0 to 3 | Valid
edit run one.png --sweep c1=x | 'x' | between -1 and 1 | give a number
edit run one.png --sweep c1=-1:1:500 | 500 | at most 64 | give fewer
edit run one.png --out one.png | one.png | would be replaced | give another file
edit run one.png --json run/names.json | run/names.json | keeps what it needs | give another file
edit run one.png --out x.jpg | x.jpg | .png | give a file
edit run one.png --out notes.txt/x.png | notes.txt/x.png | yours to write in | give a file
edit run one.png --json x.txt | x.txt | .json | give a file
edit run one.png --device tpu | 'tpu' | cpu | give cpu
edit run one.png --seed x | 'x' | whole number | --seed 7

name nosuch | 'nosuch' | gander train | Give a folder
name run --data squares.npz | ACGAN+InfoGAN | infogan | name its sliders
name info --data bare.npz | 'bare.npz' | labels | give --column
name info --data squares.npz --labels 0 | given 0 | at least 1 | --labels 20
name info --data squares.npz --labels 5000 | 5,000 | from 1 to the 40 | give fewer
name info --data squares.npz --labels many | 'many' | number | --labels 20
name info --data squares.npz --column nosuch | 'nosuch' | label, slant | Valid
name info --data squares.npz --column slant | 'slant' | column of classes | give another --column
name info --data squares.npz --code c9 | 'c9' | category, c1, c2 | Valid
name info --data squares.npz --code c1 | c1 is uniform | category | Name c1 by hand
name info --data squares.npz --least 2 | given 2 | from 0 to 1 | --least 0.7
name info --data squares.npz --least high | 'high' | number | --least 0.7
name info --data squares.npz --sheet x.jpg | x.jpg | .png | give a file
name info --data squares.npz --seed x | 'x' | whole number | --seed 7
name info --clear --code c9 | 'c9' | category, c1, c2 | Valid
name info --device tpu | 'tpu' | cpu | give cpu
name info --labels 4 | --labels | labelled images | need --data
name info --set c1 | 'c1' | code=name | --set c1=slant
name info --set 'c1=my slant' | 'my slant' | letters, digits | call it
name info --set c1=slant:left | c1=slant:left | both ends | give a name
name info --set c1=c2 | 'c2' | another | give another
name info --set category.99=seven | category.99 | #0 to #9 | give the index
name info/weights/averaged.safetensors --set c1=slant | averaged.safetensors | folder | give the folder

evaluate nosuch | 'nosuch' | gander train | Give a folder
evaluate one | 'one' | gander train | Give a run
evaluate newer | schema 9 | reads up to 3 | install
evaluate run --metrics corelation | 'corelation' | gander list metrics | Did you mean 'correlation'
evaluate run --n 3 | given 3 | from 20 to 1,000,000 | --n 5000
evaluate run --n 1e12 | 1,000,000,000,000 | from 20 to 1,000,000 | --n 5000
evaluate run --n nan | nan | whole number | --n 64
evaluate run --n many | 'many' | number | --n 64
evaluate run --seed 1.5 | '1.5' | whole number | --seed 7
evaluate run --device tpu --n 40 | 'tpu' | cpu | give cpu
evaluate run --data nosuch --n 40 | 'nosuch' | cifar10, digits | --data SRC
evaluate run --data large.npz --n 40 | large.npz | (1, 16, 16) | give --data
evaluate squares.npz --data large.npz --n 40 | 'squares.npz' | one size | measure images
evaluate run --json run/config.toml | run/config.toml | keeps what it needs | give another file
evaluate run --json run/weights/averaged.safetensors | averaged.safetensors | keeps what it needs | give another file
evaluate squares.npz --data bare.npz --json squares.npz | squares.npz | would be replaced | give another file
evaluate run --json one | one | figures.json | give a file
evaluate run --features nosuch.onnx --n 40 | 'nosuch.onnx' | ONNX model | --features inception.onnx
evaluate run --features notes.txt --n 40 | notes.txt | ONNX model | Export it again

compare | RUN | run directory | give a run
compare run nosuch | 'nosuch' | gander train | Give a folder
compare one | one | gander train | as runs/
compare run newer --out x.html | schema 9 | reads up to 3 | install
compare run --out one | one | report.html | give a file
compare run --out x.txt | x.txt | .html | give a file
compare run --out other.html | other.html | gander compare | give another file
compare run --out notes.txt/x.html | notes.txt/x.html | yours to write in | give a file
compare run --device tpu | 'tpu' | cpu | give cpu

select | RUN | run directory | give a run
select nosuch run | 'nosuch' | gander train | Give a folder
select run | 1 run | 3 or more | give more runs
select run info | 2 runs | 3 or more | give more runs
select run info cond | info discovers category | run c1:uniform, c2:uniform | give runs of one
select plain cond run | plain discovers nothing | two other codes | Give runs of infogan
select run info --by centralty | 'centralty' | gander list metrics | Did you mean 'centrality'
select run --by frechet | 1 run | 2 or more | give more runs
select run info newer --by frechet | schema 9 | reads up to 3 | install
select run info --n 3 | given 3 | from 20 to 1,000,000 | --n 5000
select run info --n many | 'many' | number | --n 64
select run info --json info/log.jsonl | info/log.jsonl | keeps what it needs | give another file
select run info --json one | one | figures.json | give a file
select run info --device tpu | 'tpu' | cpu | give cpu

export run | export | html (a page with sliders), --to onnx or --to weights | say what
export run --out run/weights/averaged.safetensors | averaged.safetensors | keeps what it needs | give another file
export run --out info/state/state.safetensors | state.safetensors | keeps what it needs | give another file
export run --to pdf | 'pdf' | html, onnx, weights | Valid
export run --to html --out x.pdf | x.pdf | FILE.html | give that
export run --to onnx --out notes.txt/x.onnx | notes.txt/x.onnx | yours to write in | give a file
export run --to weights --out notes.txt | notes.txt | FILE.safetensors | give a folder
export run --to weights --out full | full | new, empty or an earlier | give --out
export young --to html | young | weights/averaged.safetensors | Give a run

explore nosuch --no-open | 'nosuch' | gander train | Give a folder
explore run --no-open --port 99999 | 99999 | 0 (any) to 65535 | --port 8000
explore run --no-open --port 80.5 | '80.5' | whole number | --port 8000
explore run --no-open --port http | 'http' | whole number | --port 8000
explore run --no-open --port BUSY | BUSY | first free | give another
explore run --no-open --host nosuch.invalid | nosuch.invalid | 127.0.0.1, 0.0.0.0 | give
explore run --no-open --device tpu | 'tpu' | cpu | give cpu
explore young --no-open | young | weights/averaged.safetensors | train this one

data pak squares.npz --out shards | 'pak' | pack, index | Did you mean 'pack'
data pack | SOURCE | any data source, as a folder of images | give any
data pack nowhere --out shards | 'nowhere' | a folder of images | give a folder
data pack squares.npz | --out | A new folder | give one
data pack squares.npz --out squares.npz | squares.npz is a file | a new folder | give a new folder
data pack squares.npz --out shards --size 3 | given 3 | 4 to 512 | give it so
data pack squares.npz --out shards --channels 5 | given 5 | 1 to 4 | give it so
data pack squares.npz --out shards --each 0 | given 0 | 1 to 1,000,000 | give so many
data pack squares.npz:train[:5] --out shards | train[:5] | whole splits are packed | give squares.npz:train
data pack squares.npz --out shards --links yes | 'yes' | SOURCE and options | Leave it out
data index squares.npz | squares.npz is no folder | .tar files | give the one
train gan --data http://127.0.0.1:1/shards.json | http://127.0.0.1:1/shards.json | connection refused | Check the address
lab shedules | 'shedules' | schedules | Did you mean 'schedules'
lab schedules --images 0 | given 0 | at least 1 | --images 200000
lab schedules --seed 1.5 | '1.5' | whole number | --seed 7
lab schedules --preset infogn | 'infogn' | infogan, infogan-axes | Did you mean 'infogan'
lab schedules --data squares.npz --set schedule=reuse | schedule | reuse, one-stage | leave it out
lab schedules --data squares.npz --device tpu | 'tpu' | cpu | give cpu
lab schedules --out one | one | schedules.html | give a file
lab schedules --json one | one | figures.json | give a file

bench --data nosuch | 'nosuch' | cifar10, digits | give a folder
bench --parts agianst | 'agianst' | against, bound | Did you mean 'against'
bench --presets infogn | 'infogn' | infogan, infogan-axes | Did you mean 'infogan'
bench --sizes big | 'big' | whole numbers of px | 28,64
bench --sizes 28,9999 | 9999 | from 4 to 512 px | --sizes 28,64
bench --seeds 3-1 | '3-1' | rising ranges | --seeds 0,1,4-6
bench --seconds 0 | given 0 | more than 0 | --seconds 5
bench --images 3 | given 3 | from 20 to 100,000,000 | give so many
bench --batch 1.5 | 1.5 | whole number | give one
bench --threads -1 | -1 | from 0 to 1,024 | threads=0
bench --precision fp8 | 'fp8' | auto, fp32, bf16 | Valid
bench --device tpu | 'tpu' | cpu | give cpu
bench --json one | one | figures.json | give a file

search infogn --over batch=16:32 --by frechet --trials 2 | 'infogn' | acgan, acgan-infogan | Did you mean 'infogan'
search gan --over batch=16:32 --trials 2 | --by | says which is better | give one
search gan --by frechet --trials 2 | --over | setting and its range | give one
search gan --over batch=16:32 --by frechet | --trials | runs | give one
search gan --over batch=16:32 --by frechet --trials 0 | given 0 | 1 or more | --trials 2
search gan --over batch=16:32 --by frechet --trials many | 'many' | whole number | --trials 20
search gan --over batch --by frechet --trials 2 | 'batch' | a setting with its range | --over batch=32,64,128
search gan --over batch=32 --by frechet --trials 2 | 'batch=32' | nothing to search | give a range
search gan --over btach=16:32 --by frechet --trials 2 | 'btach' | gander list settings | Did you mean 'batch'
search gan --over batch=1:32 --by frechet --trials 2 | given 1; | from 2 to 65,536 | batch=128
search gan --over batch=32:16 --by frechet --trials 2 | given 32 and 16 | from a low number to a higher | give them
search gan --over batch=16:many --by frechet --trials 2 | 'many' | LOW:HIGH | give it
search gan --over batch=16.5:32 --by frechet --trials 2 | 16.5 | whole number | give such
search gan --over batch=16:32:lin --by frechet --trials 2 | 16:32:lin | LOW:HIGH:log | write it
search gan --over critic_rate=0:1:log --by frechet --trials 2 | given 0 | above 0 | give a low end
search gan --over objective=hinge,hing --by frechet --trials 2 | 'hing' | hinge, wasserstein | Did you mean 'hinge'
search gan --over objective=1:2 --by frechet --trials 2 | objective=1:2 | its values | give its values
search gan --over data=mnist,glyphs --by frechet --trials 2 | 'data' | source, size | Set one of them
search gan --over source=mnist,glyphs --by frechet --trials 2 | data.source | other images | leave it out
search gan --over log_images=5:9 --by frechet --trials 2 | report.log_images | not the run | leave it out
search gan --over batch=16:32 training.batch=8,64 --by frechet --trials 2 | training.batch=16:32 | twice | give it once
search gan --over batch=16:32 --set batch=16 --by frechet --trials 2 | training.batch | searched | drop one
search gan --over critic_steps=1:2 --by frechet --trials 3 --data squares.npz --set batch=16 | --trials 3 | 2 ways | --trials 2
search gan --over batch=16:300 --by frechet --trials 2 --data squares.npz | batch=300 | 40 images | --set batch=32
search infogan --over c1.recogised=0:1 --by r2/c1 --trials 2 | 'recogised' | given, shown, recognised | Did you mean 'recognised'
search infogan --over c9.recognised=0:1 --by r2/c1 --trials 2 | 'c9' | noise, category, c1, c2 | Valid
search gan --over batch=16:32 --by frchet --trials 2 --data squares.npz --set width=4 | 'frchet' | gander list metrics | Did you mean 'frechet'
search gan --over batch=16:32 --by density --trials 2 | density | neither more | --by frechet
search gan --over batch=16:32 --by r2/c9 --trials 2 --data squares.npz | 'c9' | label, slant | Valid
search gan --over batch=16:32 --by frechet --trials 2 --data nosuch | 'nosuch' | cifar10, digits | give a folder
search gan --over batch=16:32 --by frechet --trials 2 --images 0 | given 0 | at least 1 | --images 200000
search gan --over batch=16:32 --by frechet --trials 2 --seed 1.5 | '1.5' | whole number | --seed 7
search gan --over batch=16:32 --by frechet --trials 2 --at-once 0 | given 0 | 1 or more | --at-once 2
search gan --over batch=16:32 --by frechet --trials 2 --device tpu | 'tpu' | cpu | give cpu
search gan --over batch=16:32 --by frechet --trials 2 --data squares.npz --out notes.txt | notes.txt | empty, new, or a search | give a folder
search gan --over batch=16:32 --by frechet --trials 2 --data squares.npz --out run | 'run' | empty, new, or a search | give a folder
search gan --over batch=16:32 --by frechet --trials 2 --data squares.npz --out notes.txt/x | notes.txt/x | yours to write in | give another
search gan --over batch=16:32 --by frechet --trials 2 --no-prune=5 | '5' | takes no value | write --no-prune alone

list presents | 'presents' | presets, data, metrics | Did you mean 'presets'
list a b | 'b' | WHAT and options | Leave it out
list --all | '--all' | none | See gander list --help
"""
ROWS = [tuple(map(str.strip, line.split(" | "))) for line in TABLE.strip().split("\n") if line]
DOES = re.compile(
    r"^(add|begin|call|check|correct|did you mean|drop|export|give|install|leave|measure|must|name|need|"
    r"put|save|say|see|set|show|take|train|valid|write)|^--\w|=|^\d|^report\.|^gaussian|^uniform|^categorical|^as runs/|^28",
    re.I,
)
FOREIGN = re.compile(
    r"Traceback|NoneType|list index|Errno|invalid literal|unable to convert|codec|state_dict|deserializ|positional|"
    r"ONNXRuntimeError|protobuf|object at 0x|__\w+__|<class|Expecting|\bNone\b|\bTrue\b|\bFalse\b|\b[A-Z]\w+Error\b"
)
SAFE = {
    "--help",
    "--version",
    "--deterministic",
    "--dry-run",
    "--quiet",
    "--live",
    "--labels",
    "--invert",
    "--quick",
    "--clear",
}
LONGEST = 600  # letters, but for the table of what is different in a run


# ---------------------------------------------------------------------- a folder of strangers
def files(text):
    """NAME: content, one a line."""
    for line in text.strip().split("\n"):
        name, _, content = line.partition(": ")
        place = Path(name)
        place.parent.mkdir(exist_ok=True)
        place.write_text(content.replace("\\n", "\n"))


FILES = """
notes.txt: hello
full/x: x
other.html: <p>mine</p>
model.onnx: x
model.pt: x
model.ckpt: x
broken.png: x
csv-columns/labels.csv: a,b\\n1,2
csv-gone/labels.csv: file,class\\nnope.png,a
csv-ragged/labels.csv: file,class\\nx.png,a,b
csv-empty/labels.csv: 
section.toml: [trainin]\\nbatch = 16
key.toml: preset = 'gan'\\n[training]\\nbatsh = 16
type.toml: preset = 'gan'\\n[training]\\nbatch = 'many'
nocodes.toml: [training]\\nbatch = 16
syntax.toml: [training\\nbatch = 16
preset.toml: preset = 'infogn'
flat.toml: training = 5\\n[codes.noise]\\nkind = 'gaussian'
codes.toml: codes = 5
word.toml: [codes]\\nnoise = 3
kind.toml: [codes.noise]\\nkind = 'gausian'
"""


def strangers():
    """What the table speaks of, in the working folder."""
    files(FILES)
    Path("binary.toml").write_bytes(b"\xff\xfe\x00")
    Path("empty").mkdir()
    Path("flat").write_bytes(b"x")
    Path("one").mkdir()
    for place in ("one.png", "one/only.png", *(f"{p}/x.png" for p in Path().glob("csv-*"))):
        Image.new("L", (16, 16), 9).save(place)
    pixels, labels, slants = tiny.pictures(count=40)
    np.savez("squares.npz", images=pixels, label=labels, slant=slants)
    np.savez("bare.npz", images=pixels)
    np.savez("same.npz", images=pixels, label=labels * 0)
    np.savez("small.npz", images=pixels[:, :6, :6], label=labels)
    np.savez("large.npz", images=pixels.repeat(2, 1).repeat(2, 2), label=labels)
    np.savez("floats.npz", images=pixels.astype(np.float32))
    Path("cut.npz").write_bytes(Path("bare.npz").read_bytes()[:300])


def runs():
    """Four runs, one of each sort, and what can become of one."""
    sorts = {"run": "acgan-infogan", "info": "infogan", "plain": "gan", "cond": "cgan"}
    for name, preset in sorts.items():
        shutil.copytree(tiny.run(preset), name)
    for name in ("newer", "young", "wrecked", "edited", "named"):
        shutil.copytree("run", name)
    shutil.rmtree("young/weights")
    for place in ("newer/config.toml", "newer/weights/averaged.safetensors"):
        content = Path(place).read_bytes().replace(b"schema = 3", b"schema = 9")
        content = re.sub(rb'(schema\\*": )3', rb"\g<1>9", content)
        Path(place).write_bytes(content)
    Path("wrecked/config.toml").write_text("schema = 3\n[training\n")
    by_hand = re.sub(
        "(?m)^critic_rate = .*", "critic_rate = nan", Path("run/config.toml").read_text()
    )
    Path("edited/config.toml").write_text(by_hand)
    Path("wrecked/weights/averaged.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0{}")
    Path("named/names.json").write_text("{")
    from safetensors.numpy import save_file

    save_file({"a": np.zeros(3)}, "stranger.safetensors")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A folder of runs, data and other things, which no wrong use may change."""
    patched = pytest.MonkeyPatch()
    folder = tmp_path_factory.mktemp("world")
    patched.setenv("GANDER_CACHE", str(tmp_path_factory.mktemp("cache")))
    patched.chdir(folder)
    strangers()
    runs()
    yield folder
    patched.undo()


@pytest.fixture(scope="module")
def busy():
    """A port that somebody else listens at."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        yield str(taken.getsockname()[1])


def seen():
    """Every file here, its size and when it was written."""
    found = {}
    for place in Path().rglob("*"):
        told = place.lstat()
        found[place] = (told.st_size, told.st_mtime_ns) if place.is_file() else ()
    return found


def refused(words, capsys, code=2):
    """The one paragraph a command says that is refused, whatever is wrong with it."""
    before = seen()
    assert cli.run(words) == code
    spoken = capsys.readouterr()
    assert seen() == before, "something was written"
    text = spoken.err
    assert code == 1 or spoken.out == ""
    assert text.startswith("gander: ") and text.endswith("\n")
    text = text.removeprefix("gander: ").removesuffix("\n")
    assert "\n\n" not in text and text == text.strip() and "  " not in re.sub(r"\n +", "\n", text)
    assert all(letter.isprintable() or letter == "\n" for letter in text)
    assert text[-1] in ".?" and len(text) <= LONGEST * (1 + text.count("\n")), len(text)
    assert not FOREIGN.search(text), FOREIGN.search(text)
    return text


# ---------------------------------------------------------------------- the table
@pytest.mark.parametrize(("words", "given", "valid", "do"), ROWS, ids=[row[0] for row in ROWS])
def test_a_wrong_use_is_told_what_was_given_what_is_valid_and_what_to_do(
    words, given, valid, do, world, busy, capsys, monkeypatch
):
    monkeypatch.setattr(training, "play", lambda *_: pytest.fail("it began to train"))
    given, words = (text.replace("BUSY", busy) for text in (given, words))
    text = refused(shlex.split(words), capsys)
    assert given in text, f"does not say what was given: {text}"
    assert valid in text, f"does not say what is valid: {text}"
    assert do in text and DOES.search(do), f"does not say what to do: {text}"


def test_the_table_has_every_command_and_every_option():
    used = {words.split()[0] for words, *_ in ROWS}
    commands = {name: app[name] for name in app if not name.startswith("-")}
    assert commands.keys() <= used and len(ROWS) == len({row[0] for row in ROWS}) > 100
    for name, command in commands.items():
        own = " ".join(words for words, *_ in ROWS if words.split()[0] == name).replace("=", " ")
        named = [one for one in command if not one.startswith("-")]
        inner = [command[one] for one in named] or [command]
        options = {a.name for one in inner for a in one.assemble_argument_collection()}
        missing = {one for one in options if one.startswith("--") and f"{one} " not in own}
        assert missing <= SAFE, f"{name}: no wrong use of {sorted(missing)}"


BYTES = torch.zeros(2, 1, 16, 16, dtype=torch.uint8)
CALLS = [
    (lambda: gander.train("infogn"), "'infogn'", "acgan, acgan-infogan", "Did you mean 'infogan'"),
    (lambda: gander.train("gan", minutes=0), "given 0", "more than 0", "--minutes 30"),
    (lambda: gander.train("gan", images=-5), "-5", "1 or more", "write"),
    (lambda: gander.train("gan", images="many"), "'many'", "whole number", "write"),
    (lambda: gander.train("gan", seed=-1), "-1", "from 0 to", "write"),
    (lambda: gander.train("gan", settings=["btach=5"]), "'btach'", "gander list", "Did you mean"),
    (lambda: gander.load("nosuch"), "'nosuch'", "gander train", "Give a folder"),
    (lambda: gander.load("model.onnx"), "model.onnx", "ONNX Runtime", "give gander the run"),
    (lambda: gander.load("run").draw(2, lable=1), "'lable'", "label, c1", "Did you mean 'label'"),
    (lambda: gander.load("run").draw(2, label="9"), "'9'", "index from 0 to 3", "Valid"),
    (lambda: gander.load("run").draw(3, c1=[0, 1]), "2 values", "3 images", "give one"),
    (lambda: gander.load("run").sweep("nosuch"), "'nosuch'", "label, c1", "Valid"),
    (lambda: gander.load("plain").draw(2, digit=3), "'digit'", "noise", "Train a cgan"),
    (lambda: gander.load("run").read(BYTES[:, :, :9]), "(2, 1, 9, 16)", "(1, 16, 16)", "give"),
    (lambda: gander.load("run").read(BYTES / 255), "in float32", "in uint8", "give"),
    (lambda: gander.load("run").read(BYTES[:0]), "(0, 1", "one or more", "give"),
    (lambda: gander.load("run").read(BYTES.numpy()), "numpy.ndarray", "a tensor", "give"),
    (lambda: gander.load("run").edit(BYTES[0].numpy()), "numpy.ndarray", "(1, 16, 16)", "give"),
    (lambda: gander.load("run").sweep("c1", rows=0), "given 0", "one row or image", "give"),
    (lambda: gander.load("run").sweep("c1", n=-1), "given -1", "one row or image", "give"),
    (lambda: gander.load("run").edit(torch.zeros(2, 1, 16, 16)), "(2, 1", "(1, 16, 16)", "give"),
    (lambda: gander.evaluate("nosuch"), "'nosuch'", "gander train", "Give a folder"),
    (lambda: gander.evaluate("run", metrics=["frchet"]), "'frchet'", "gander list", "Did you mean"),
    (lambda: gander.evaluate("run", n=3), "given 3", "from 20", "--n 5000"),
    (
        lambda: gander.search("gan", over=["btach=1:2"], by="frechet", trials=2),
        "'btach'",
        "gander list",
        "Did you mean",
    ),
    (lambda: gander.select(["run", "info"]), "2 runs", "3 or more", "give more runs"),
]


@pytest.mark.parametrize(("call", "given", "valid", "do"), CALLS)
def test_a_wrong_call_raises_the_same_sort_of_message(call, given, valid, do, world):
    before = seen()
    with pytest.raises(gander.GanderError) as caught:
        call()
    text = str(caught.value)
    assert given in text and valid in text and do in text, text
    assert not FOREIGN.search(text) and text[-1] in ".?" and len(text) <= LONGEST
    assert seen() == before and caught.value.exit_code == 2


# ---------------------------------------------------------------------- what the disk and the run refuse
@pytest.mark.parametrize("out", ["notes.txt/x", "/proc/nosuch"])
def test_a_place_that_cannot_be_made_is_named(out, world, capsys):
    small = ["--data", "squares.npz", "--images", "16", "--quiet", "--set", *tiny.SMALL]
    text = refused(["train", "gan", "--out", out, *small], capsys)
    assert out in text and "cannot be written" in text


def test_a_job_that_failed_is_no_wrong_use(world, capsys):
    text = refused(["name", "info", "--data", "large.npz", "--least", "1"], capsys, code=1)
    assert "nothing was kept" in text and "give more --labels" in text


@pytest.fixture
def nobody():
    """A folder of which some is out of reach, seen by a user who is not its owner, or by an owner without the right."""
    with tempfile.TemporaryDirectory(prefix="gander-locked-") as folder:
        here = Path(folder)
        shutil.copytree(tiny.run("gan"), here / "run")
        shutil.copytree(tiny.run("gan"), here / "secret")
        shutil.copy("squares.npz", here / "secret.npz")
        (here / "locked").mkdir()
        here.chmod(0o755)
        (here / "secret.npz").chmod(0)
        (here / "secret").chmod(0)
        (here / "locked").chmod(0o555)
        with pytest.MonkeyPatch.context() as patched:
            patched.chdir(here)
            root = hasattr(os, "geteuid") and os.geteuid() == 0
            assert cli.run(["sample", "run", "--out", "warm.png"]) == 0  # all that it imports
            if root:
                os.seteuid(65534)
            try:
                yield
            finally:
                if root:
                    os.seteuid(0)
                (here / "secret").chmod(0o755)
                (here / "locked").chmod(0o755)


@pytest.mark.skipif(os.name == "nt", reason="a folder there has other rights")
def test_what_one_may_not_read_or_write_is_named(nobody, world, capsys):
    capsys.readouterr()
    for words, given in (
        ("sample run --out locked/x.png", "locked/x.png"),
        ("sample secret", "secret"),
        ("train gan --data secret.npz", "secret.npz"),
        ("compare run --out locked/x.html", "locked/x.html"),
        ("export run --to weights --out locked/w", "locked/w"),
    ):
        assert cli.run(words.split()) == 2
        text = capsys.readouterr().err
        assert given in text and text.count("\n") == 1 and not FOREIGN.search(text), text


def test_twenty_names_of_a_thousand_are_listed(world):
    many = kinds.Categorical(1000, names=tuple(f"{i:03}" for i in range(1000)))
    with pytest.raises(gander.GanderError) as caught:
        many.parse("nosuch")
    assert len(str(caught.value)) < LONGEST and "000, 001" in str(caught.value)
    assert "999" in str(caught.value)
