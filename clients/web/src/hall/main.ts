import { mount } from 'svelte'
import '../shared/theme.css'
import './hall.css'
import App from './App.svelte'

document.documentElement.classList.add('dark')
const target = document.getElementById('app')
if (target) mount(App, { target })
